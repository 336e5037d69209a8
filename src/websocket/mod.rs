//! The WebSocket protocol, server side (RFC 6455).
//!
//! [`handshake`] accepts or rejects a connection; [`session`] is its thread: it waits, reads
//! messages, and ends the connection for one of the reasons in [`Disconnect`]; [`frame`] encodes what
//! is sent; [`keepalive`] pings all connections from one thread. What messages mean is not known
//! here: that is `api::subscribe`.

mod disconnect;
pub mod frame;
pub mod handshake;
pub mod keepalive;
mod push;
pub mod session;

pub use disconnect::Disconnect;
pub use keepalive::Heartbeat;
pub use push::WebSocketPush;
pub use session::Session;
