//! The WebSocket protocol, server side (RFC 6455).
//!
//! [`handshake`] accepts or rejects a connection; [`session`] is its thread: it waits, reads
//! messages, and ends the connection for one of the reasons in [`Disconnect`]. `wire` is the socket
//! as the parser sees it, `frame_meter` what has arrived, `rate_limit` how much may. [`frame`]
//! encodes what is sent; [`keepalive`] pings all connections from one thread. What messages mean is
//! not known here: that is `api::subscribe`.

mod disconnect;
pub mod frame;
mod frame_meter;
pub mod handshake;
pub mod keepalive;
mod push;
mod rate_limit;
pub mod session;
mod wire;

pub use disconnect::Disconnect;
pub use keepalive::Heartbeat;
pub use push::WebSocketPush;
pub use session::Session;

#[cfg(test)]
mod tests;
