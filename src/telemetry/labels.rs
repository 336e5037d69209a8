//! The closed sets of values that counters are broken down by.
//!
//! Other modules turn their own errors and codes into these, so that this one imports none of them.

use super::metric_types::Label;

/// Why a token was rejected, or none came: the label of an `auth::AuthError`, and two reasons that
/// only a subscription has. A client learns none of them but `TooDeep` and `TimedOut`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// It has not the form of a JWT.
    Malformed,
    /// It is signed with another algorithm, or has a `crit`.
    Algorithm,
    /// Its signature is wrong.
    Signature,
    /// Its claims can't be read.
    Claims,
    /// Its claims are nested too deep.
    TooDeep,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// Its claim `channels` is missing or not an array of strings.
    Channels,
    /// No token came in time.
    TimedOut,
}

impl Label for AuthFailure {
    const NAMES: &'static [&'static str] = &[
        "malformed",
        "algorithm",
        "signature",
        "claims",
        "too_deep",
        "expired",
        "not_yet_valid",
        "channels",
        "timeout",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// Why a connection, a WebSocket handshake or a request was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The limit of connections is reached.
    Full,
    /// The limit of connections of its IP address is reached.
    PerAddress,
    /// The server is shutting down.
    Draining,
    /// Its `Origin` is not allowed.
    Origin,
    /// It is not a valid WebSocket handshake.
    Handshake,
    /// There is no file descriptor for it.
    NoDescriptors,
    /// What arrives takes all the memory that it may.
    InputTotal,
    /// The limit of connections of its token is reached.
    PerToken,
}

impl Label for RejectReason {
    const NAMES: &'static [&'static str] = &[
        "full",
        "per_address",
        "draining",
        "origin",
        "handshake",
        "no_descriptors",
        "input_total",
        "per_token",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// The close code with which a WebSocket connection ended (RFC 6455 §7.4): that of the first close
/// frame, the server's or the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(usize);

/// A close frame without a code, as programs name it (RFC 6455 §7.4.1).
const NO_STATUS: u16 = 1005;

impl CloseCode {
    /// The connection ended without a close frame.
    pub const NONE: CloseCode = CloseCode(0);
    const OTHER: CloseCode = CloseCode(1);
    /// The codes that have a counter of their own, in the order of the names after the first two.
    const KNOWN: [u16; 13] = [
        1000, 1001, 1002, 1003, NO_STATUS, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4002,
    ];

    /// A close frame with this code, or without any.
    pub fn of(code: Option<u16>) -> CloseCode {
        let code = code.unwrap_or(NO_STATUS);
        let known = Self::KNOWN.iter().position(|known| *known == code);
        known.map_or(Self::OTHER, |index| CloseCode(index + 2))
    }
}

impl Label for CloseCode {
    const NAMES: &'static [&'static str] = &[
        "none", "other", "1000", "1001", "1002", "1003", "1005", "1007", "1008", "1009", "1011",
        "1012", "1013", "4001", "4002",
    ];

    fn index(self) -> usize {
        self.0
    }
}

/// The event of a WebSocket client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEvent {
    /// `authenticate`.
    Authenticate,
    /// `ping`.
    Ping,
    /// Any other event.
    Other,
    /// Text that is not an event.
    Malformed,
}

impl Label for ClientEvent {
    const NAMES: &'static [&'static str] = &["authenticate", "ping", "other", "malformed"];

    fn index(self) -> usize {
        self as usize
    }
}

/// The status of an HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpStatus(usize);

impl HttpStatus {
    /// The statuses that have a counter of their own: all that `http::Status` has.
    const KNOWN: [u16; 16] = [
        101, 200, 400, 401, 403, 404, 405, 408, 413, 414, 417, 426, 431, 501, 503, 505,
    ];
}

impl From<u16> for HttpStatus {
    fn from(status: u16) -> HttpStatus {
        let known = Self::KNOWN.iter().position(|known| *known == status);
        HttpStatus(known.map_or(0, |index| index + 1))
    }
}

impl Label for HttpStatus {
    const NAMES: &'static [&'static str] = &[
        "other", "101", "200", "400", "401", "403", "404", "405", "408", "413", "414", "417",
        "426", "431", "501", "503", "505",
    ];

    fn index(self) -> usize {
        self.0
    }
}

/// The result of a request to broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BroadcastResult {
    /// The message was sent to the channel's subscribers.
    Sent,
    /// The request or the token in it is wrong (400).
    BadRequest,
    /// There is no valid publisher token (401).
    Unauthorized,
    /// The publisher token does not allow the channel (403).
    Forbidden,
    /// Any other status.
    Other,
}

impl BroadcastResult {
    /// The result that a response's status means.
    pub fn of(status: u16) -> BroadcastResult {
        match status {
            200 => BroadcastResult::Sent,
            400 => BroadcastResult::BadRequest,
            401 => BroadcastResult::Unauthorized,
            403 => BroadcastResult::Forbidden,
            _ => BroadcastResult::Other,
        }
    }
}

impl Label for BroadcastResult {
    const NAMES: &'static [&'static str] =
        &["sent", "bad_request", "unauthorized", "forbidden", "other"];

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_is_shown_as_its_number() {
        for code in CloseCode::KNOWN {
            assert_eq!(CloseCode::of(Some(code)).name(), code.to_string());
        }
        assert_eq!(CloseCode::of(None).name(), "1005");
        assert_eq!(CloseCode::of(Some(4999)).name(), "other");
        assert_eq!(CloseCode::NONE.name(), "none");
        assert_eq!(CloseCode::NAMES.len(), CloseCode::KNOWN.len() + 2);
    }

    #[test]
    fn a_status_is_shown_as_its_number() {
        for status in HttpStatus::KNOWN {
            assert_eq!(HttpStatus::from(status).name(), status.to_string());
        }
        assert_eq!(HttpStatus::from(418).name(), "other");
        assert_eq!(HttpStatus::NAMES.len(), HttpStatus::KNOWN.len() + 1);
    }

    #[test]
    fn every_value_has_its_name() {
        for (failure, name) in [
            (AuthFailure::Malformed, "malformed"),
            (AuthFailure::Algorithm, "algorithm"),
            (AuthFailure::Signature, "signature"),
            (AuthFailure::Claims, "claims"),
            (AuthFailure::TooDeep, "too_deep"),
            (AuthFailure::Expired, "expired"),
            (AuthFailure::NotYetValid, "not_yet_valid"),
            (AuthFailure::Channels, "channels"),
            (AuthFailure::TimedOut, "timeout"),
        ] {
            assert_eq!(failure.name(), name);
        }
        assert_eq!(AuthFailure::NAMES.len(), AuthFailure::TimedOut.index() + 1);
        assert_eq!(RejectReason::NoDescriptors.name(), "no_descriptors");
        assert_eq!(RejectReason::InputTotal.name(), "input_total");
        assert_eq!(RejectReason::PerToken.name(), "per_token");
        let last = RejectReason::PerToken.index();
        assert_eq!(RejectReason::NAMES.len(), last + 1);
        assert_eq!(ClientEvent::Malformed.name(), "malformed");
        assert_eq!(ClientEvent::NAMES.len(), ClientEvent::Malformed.index() + 1);
        assert_eq!(BroadcastResult::of(403).name(), "forbidden");
        assert_eq!(BroadcastResult::of(500).name(), "other");
    }
}
