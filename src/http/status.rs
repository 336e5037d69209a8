//! The statuses of the server's responses (RFC 9110 §15).

/// A status. Closed, so that each has a counter of its own (`telemetry::labels::HttpStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// The connection changes to another protocol.
    SwitchingProtocols = 101,
    /// The request succeeded.
    Ok = 200,
    /// The request is malformed, or asks for what can't be done.
    BadRequest = 400,
    /// The request needs a valid token.
    Unauthorized = 401,
    /// The request is not allowed.
    Forbidden = 403,
    /// The path is unknown.
    NotFound = 404,
    /// The path does not know the method.
    MethodNotAllowed = 405,
    /// The request did not arrive in time.
    RequestTimeout = 408,
    /// The body is too long.
    ContentTooLarge = 413,
    /// The request line is too long.
    UriTooLong = 414,
    /// The client expects what the server does not do.
    ExpectationFailed = 417,
    /// The endpoint speaks another protocol.
    UpgradeRequired = 426,
    /// The head is too long, or has too many headers.
    HeadersTooLarge = 431,
    /// The server does not know the transfer coding.
    NotImplemented = 501,
    /// The server is full or shutting down.
    Unavailable = 503,
    /// The server does not know the version of HTTP.
    VersionNotSupported = 505,
}

impl Status {
    /// Every status that the server sends.
    pub const ALL: [Status; 16] = [
        Status::SwitchingProtocols,
        Status::Ok,
        Status::BadRequest,
        Status::Unauthorized,
        Status::Forbidden,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::RequestTimeout,
        Status::ContentTooLarge,
        Status::UriTooLong,
        Status::ExpectationFailed,
        Status::UpgradeRequired,
        Status::HeadersTooLarge,
        Status::NotImplemented,
        Status::Unavailable,
        Status::VersionNotSupported,
    ];

    /// The number of the status.
    pub fn code(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::HttpStatus;
    use crate::telemetry::metric_types::Label;

    #[test]
    fn every_status_has_a_counter_of_its_own() {
        for status in Status::ALL {
            let name = HttpStatus::from(status.code()).name();
            assert_eq!(name, status.code().to_string(), "{status:?}");
        }
        assert_eq!(
            HttpStatus::NAMES.len(),
            Status::ALL.len() + 1,
            "and `other`"
        );
    }
}
