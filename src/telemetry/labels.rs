//! The closed sets of labels: why, how and with which code something ended.

use super::counter::Label;
use crate::auth::TokenError;

/// Why somebody is not taken for who may do what it asks. A client is never told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// What it shows is not a good token.
    Token(TokenError),
    /// The token does not list channels to listen to.
    Channels,
    /// None was shown in time.
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
        match self {
            AuthFailure::Token(rejection) => rejection as usize,
            AuthFailure::Channels => TokenError::NotYetValid as usize + 1,
            AuthFailure::TimedOut => TokenError::NotYetValid as usize + 2,
        }
    }
}

impl From<TokenError> for AuthFailure {
    fn from(rejection: TokenError) -> AuthFailure {
        AuthFailure::Token(rejection)
    }
}

/// Why a connection or a subscriber is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// All places are taken.
    Full,
    /// Its address has as many connections as it may have.
    PerAddress,
    /// The server stops.
    Draining,
    /// The page that asks may not.
    Origin,
    /// It is no handshake of a WebSocket.
    Handshake,
    /// There is no descriptor for it.
    NoDescriptors,
}

impl Label for RejectReason {
    const NAMES: &'static [&'static str] = &[
        "full",
        "per_address",
        "draining",
        "origin",
        "handshake",
        "no_descriptors",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// The code with which a WebSocket connection ended (RFC 6455 §7.4): of our close frame, or of
/// the client's if that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(usize);

/// A close frame without a code, as programs name it (RFC 6455 §7.4.1).
const NO_STATUS: u16 = 1005;

impl CloseCode {
    /// There was no close frame.
    pub const NONE: CloseCode = CloseCode(0);
    const OTHER: CloseCode = CloseCode(1);
    /// What the names behind those two stand for.
    const KNOWN: [u16; 13] = [
        1000, 1001, 1002, 1003, NO_STATUS, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4002,
    ];

    /// There was a close frame with this code, or without any.
    pub fn of(code: Option<u16>) -> CloseCode {
        let code = code.unwrap_or(NO_STATUS);
        let known = Self::KNOWN.iter().position(|known| *known == code);
        known.map_or(Self::OTHER, |place| CloseCode(place + 2))
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

/// What a WebSocket client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEvent {
    /// It showed a token.
    Authenticate,
    /// It wanted to hear that we are here.
    Ping,
    /// Something that means nothing here.
    Other,
    /// Something that is not an event.
    Malformed,
}

impl Label for ClientEvent {
    const NAMES: &'static [&'static str] = &["authenticate", "ping", "other", "malformed"];

    fn index(self) -> usize {
        self as usize
    }
}

/// The status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpStatus(usize);

impl HttpStatus {
    /// What the names behind the first stand for.
    const KNOWN: [u16; 15] = [
        101, 200, 400, 401, 403, 404, 405, 408, 413, 414, 426, 431, 501, 503, 505,
    ];
}

impl From<u16> for HttpStatus {
    fn from(status: u16) -> HttpStatus {
        let known = Self::KNOWN.iter().position(|known| *known == status);
        HttpStatus(known.map_or(0, |place| place + 1))
    }
}

impl Label for HttpStatus {
    const NAMES: &'static [&'static str] = &[
        "other", "101", "200", "400", "401", "403", "404", "405", "408", "413", "414", "426",
        "431", "501", "503", "505",
    ];

    fn index(self) -> usize {
        self.0
    }
}

/// What became of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BroadcastResult {
    /// It went to whoever listens.
    Sent,
    /// The request or its token is wrong.
    BadRequest,
    /// There is no good publisher's token.
    Unauthorized,
    /// The publisher's token is for other channels.
    Forbidden,
    /// Something else.
    Other,
}

impl BroadcastResult {
    /// What the answer's status says.
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
    fn a_code_is_shown_as_its_number() {
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
        for (rejection, name) in [
            (TokenError::Malformed, "malformed"),
            (TokenError::Algorithm, "algorithm"),
            (TokenError::Signature, "signature"),
            (TokenError::Claims, "claims"),
            (TokenError::TooDeep, "too_deep"),
            (TokenError::Expired, "expired"),
            (TokenError::NotYetValid, "not_yet_valid"),
        ] {
            assert_eq!(AuthFailure::from(rejection).name(), name);
        }
        assert_eq!(AuthFailure::Channels.name(), "channels");
        assert_eq!(AuthFailure::TimedOut.name(), "timeout");
        assert_eq!(AuthFailure::NAMES.len(), AuthFailure::TimedOut.index() + 1);
        assert_eq!(RejectReason::NoDescriptors.name(), "no_descriptors");
        assert_eq!(
            RejectReason::NAMES.len(),
            RejectReason::NoDescriptors.index() + 1
        );
        assert_eq!(ClientEvent::Malformed.name(), "malformed");
        assert_eq!(ClientEvent::NAMES.len(), ClientEvent::Malformed.index() + 1);
        assert_eq!(BroadcastResult::of(403).name(), "forbidden");
        assert_eq!(BroadcastResult::of(500).name(), "other");
    }
}
