//! The other end of the wire: what the commands that speak to a server need.
//!
//! Plain TCP to one server, no TLS, no redirects, no proxies: whoever needs those has
//! curl. `url` says where the server is, `http` asks it something, `subscription` listens.

mod error;
mod http;
mod subscription;
mod url;
mod watch;

pub use error::Trouble;
pub use http::{Connection, Response};
pub use subscription::{Ended, Subscription};
pub use url::Url;
pub use watch::Watch;
