//! The WebSocket protocol, server side (RFC 6455): handshake, frames, one connection's session,
//! and the pings that keep connections alive.

pub mod frame;
pub mod handshake;
pub mod keepalive;
pub mod session;
