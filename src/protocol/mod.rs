//! What both ends of the wire know: events, channel names, JSON text.

pub mod channel;
pub mod event;
pub mod json;
