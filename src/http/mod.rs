//! HTTP/1.1 on one connection: requests in, answers out (RFC 9110, RFC 9112).
//!
//! `Connection` does the reading, waiting and writing; `decoder` turns bytes into
//! requests without any I/O; `reply` is what a route gives. Which route that is, is
//! none of its business.

mod chunked;
pub mod connection;
mod decoder;
pub mod forwarded;
mod head;
mod head_end;
pub mod origin;
pub mod response;

pub use chunked::Chunked;
pub use connection::{Connection, Limits, Next};
pub use decoder::{Decoder, Progress, Request};
pub use head::Head;
pub use head_end::MAX_HEAD;
pub use response::{Persistence, Response};

/// A request that is turned down before it reached a route, or by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The HTTP status.
    pub status: u16,
    /// One sentence that says what is wrong: lower case, no full stop.
    pub sentence: String,
    /// How the client may show who it is (RFC 9110 §11.6.1), if that would help.
    pub challenge: Option<&'static str>,
}

impl HttpError {
    /// A refusal with a status and a sentence.
    pub fn new(status: u16, sentence: impl Into<String>) -> HttpError {
        HttpError {
            status,
            sentence: sentence.into(),
            challenge: None,
        }
    }

    /// The same refusal, which says how to show who one is.
    #[must_use]
    pub fn with_challenge(self, challenge: &'static str) -> HttpError {
        HttpError {
            challenge: Some(challenge),
            ..self
        }
    }
}
