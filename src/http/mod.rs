//! HTTP/1.1 on one connection: requests in, answers out (RFC 9110, RFC 9112).
//!
//! `Conversation` does the reading, waiting and writing; `decoder` turns bytes into
//! requests without any I/O; `reply` is what a route gives. Which route that is, is
//! none of its business.

mod chunked;
mod conversation;
mod decoder;
mod extent;
pub mod forwarded;
mod head;
mod reply;

pub use chunked::Chunked;
pub use conversation::{Conversation, Limits, Next};
pub use decoder::{Decoder, Progress, Request};
pub use extent::MAX_HEAD;
pub use head::Head;
pub use reply::{Persistence, Reply};

/// A request that is turned down before it reached a route, or by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One sentence that says what is wrong: lower case, no full stop.
    pub sentence: String,
    /// How the client may show who it is (RFC 9110 §11.6.1), if that would help.
    pub challenge: Option<&'static str>,
}

impl Refusal {
    /// A refusal with a status and a sentence.
    pub fn new(status: u16, sentence: impl Into<String>) -> Refusal {
        Refusal {
            status,
            sentence: sentence.into(),
            challenge: None,
        }
    }

    /// The same refusal, which says how to show who one is.
    #[must_use]
    pub fn with_challenge(self, challenge: &'static str) -> Refusal {
        Refusal {
            challenge: Some(challenge),
            ..self
        }
    }
}
