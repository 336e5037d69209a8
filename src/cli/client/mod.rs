//! The client side of the protocol, for the commands that speak to a server.
//!
//! Plain TCP to one server: no TLS, no redirects, no proxies; for those, use curl. `url`
//! says where the server is, `http` sends requests over `transport`, `subscription` receives
//! messages.

pub mod error;
pub mod http;
pub mod subscription;
mod transport;
pub mod url;
pub mod watch;
