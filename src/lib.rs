//! Bifrost: broadcasts signed messages to browsers over WebSocket.

#![forbid(unsafe_code)]

pub mod channel;
pub mod config;
pub mod frame;
pub mod http;
pub mod json;
pub mod outbox;
pub mod registry;
pub mod socket;
pub mod stop;
pub mod token;
