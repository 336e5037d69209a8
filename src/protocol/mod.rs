//! What both ends of the wire know: events, close frames, channel names, limits, JSON text.
//!
//! [`event`] has the texts of WebSocket messages, [`close_frame`] every close code with its reason,
//! [`limits`] the numbers that no setting changes. Nothing here knows how bytes are sent.

pub mod channel;
pub mod close_frame;
pub mod event;
pub mod json;
pub mod limits;
