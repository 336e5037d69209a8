//! HTTP/1.1 on one connection: requests in, responses out (RFC 9110, RFC 9112).
//!
//! [`serve()`] is the request loop of every listener, [`Connection`] its reading, waiting and
//! writing; the decoder turns bytes into requests without any I/O. Routes are chosen by the
//! [`Service`].
//!
//! This loop is used instead of tiny_http's `Server`, for reasons that were each
//! reproduced with version 0.12 (November 2026) and can't be configured away:
//!
//! * `Request::upgrade` gives a stream that can't be split, timed out or shut down, so the thread
//!   that reads it can't be told to write.
//! * The thread that parsed the request stays blocked for as long as the upgraded stream lives: two
//!   threads and two descriptors per subscriber.
//! * A waiting thread counts as idle until it wakes: of 2,000 clients that connected at once, 96
//!   never got a response.
//! * One failed `accept` ends the accept thread for good, silently: 81 idle connections under
//!   `ulimit -n 200` left a process that refused every later connection.
//! * There is no read timeout, so a slow head holds a thread for ever.
//! * A client that resets early makes a thread of the pool panic.

pub mod chunked;
mod connection;
mod decoder;
mod error;
pub mod forwarded;
mod growth;
mod head;
mod head_end;
mod headers;
mod local_host;
pub mod origin;
mod response;
mod serve;
mod status;

pub use chunked::Chunked;
pub use connection::{Connection, Limits, Next, encode};
pub use decoder::{Decoder, Progress, Request};
pub use error::HttpError;
pub use head::{Head, Method, Version};
pub use local_host::LocalHost;
pub use origin::Origins;
pub use response::{Persistence, Response};
pub use serve::{Answer, Service, Upgraded, serve};
pub use status::Status;
