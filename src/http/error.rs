//! Why a request is rejected, and with which status.

use super::status::Status;

/// A request that is rejected, before it reached a route or by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The status of the response.
    pub status: Status,
    /// One sentence that says what is wrong: lower case, no full stop.
    pub message: String,
    /// How the client may authenticate (RFC 9110 §11.6.1), where that would help.
    pub challenge: Option<&'static str>,
}

impl HttpError {
    /// An error with a status and a sentence.
    pub fn new(status: Status, message: impl Into<String>) -> HttpError {
        HttpError {
            status,
            message: message.into(),
            challenge: None,
        }
    }

    /// The most frequent error: 400.
    pub fn bad_request(message: impl Into<String>) -> HttpError {
        HttpError::new(Status::BadRequest, message)
    }

    /// The same error with a challenge.
    #[must_use]
    pub fn with_challenge(self, challenge: &'static str) -> HttpError {
        HttpError {
            challenge: Some(challenge),
            ..self
        }
    }
}
