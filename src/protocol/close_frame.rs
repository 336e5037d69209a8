//! The close frames that the server sends (RFC 6455 §5.5.1, §7.4).
//!
//! A new close code starts here. `telemetry::labels` lists the codes that have a counter of their
//! own. `websocket::disconnect` says which reason for an end sends which close frame;
//! `websocket::push` sends the one of an eviction.

use super::limits::{MAX_CHANNEL_NAME, MAX_CHANNELS, MAX_CLIENT_MESSAGE};

/// A close frame: its code and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseFrame {
    /// The client broke the protocol.
    ProtocolError,
    /// The client sent a binary message.
    BinaryMessage,
    /// The client sent text that is not UTF-8.
    InvalidUtf8,
    /// The token lists more channels than a connection may have.
    TooManyChannels,
    /// The token lists a channel without a name.
    EmptyChannelName,
    /// The token lists a channel whose name is too long.
    LongChannelName,
    /// Too many connections have shown the same token already, or one with the same `sub`.
    TooManyConnections,
    /// The client sent a message that is too long.
    LongMessage,
    /// The client sent messages at too high a rate.
    TooManyMessages,
    /// The server is shutting down.
    ServiceRestart,
    /// More waited for the client than may.
    TooSlow,
    /// The client had shown no token, and another connection needed its place; or there was no
    /// memory for its message.
    ServerFull,
    /// The client showed a token that is not valid.
    NotAuthorized,
    /// The client showed no valid token in time.
    AuthTimedOut,
}

impl CloseFrame {
    /// Every close frame that there is.
    pub const ALL: [CloseFrame; 14] = [
        CloseFrame::ProtocolError,
        CloseFrame::BinaryMessage,
        CloseFrame::InvalidUtf8,
        CloseFrame::TooManyChannels,
        CloseFrame::EmptyChannelName,
        CloseFrame::LongChannelName,
        CloseFrame::TooManyConnections,
        CloseFrame::LongMessage,
        CloseFrame::TooManyMessages,
        CloseFrame::ServiceRestart,
        CloseFrame::TooSlow,
        CloseFrame::ServerFull,
        CloseFrame::NotAuthorized,
        CloseFrame::AuthTimedOut,
    ];

    /// The close code (RFC 6455 §7.4; 1012 and 1013 are registered with IANA, 4000 and up private).
    pub fn code(self) -> u16 {
        match self {
            CloseFrame::ProtocolError => 1002,
            CloseFrame::BinaryMessage => 1003,
            CloseFrame::InvalidUtf8 => 1007,
            CloseFrame::TooManyChannels
            | CloseFrame::EmptyChannelName
            | CloseFrame::LongChannelName
            | CloseFrame::TooManyConnections
            | CloseFrame::TooManyMessages => 1008,
            CloseFrame::LongMessage => 1009,
            CloseFrame::ServiceRestart => 1012,
            CloseFrame::TooSlow | CloseFrame::ServerFull => 1013,
            CloseFrame::NotAuthorized => 4001,
            CloseFrame::AuthTimedOut => 4002,
        }
    }

    /// The reason, in at most 123 bytes (RFC 6455 §5.5).
    pub fn reason(self) -> String {
        match self {
            CloseFrame::ProtocolError => "Protocol error".into(),
            CloseFrame::BinaryMessage => "Binary messages are not taken".into(),
            CloseFrame::InvalidUtf8 => "Text is not UTF-8".into(),
            CloseFrame::TooManyChannels => format!("More than {MAX_CHANNELS} channels"),
            CloseFrame::EmptyChannelName => "Channel name is empty".into(),
            CloseFrame::LongChannelName => {
                format!("Channel name is over {MAX_CHANNEL_NAME} bytes")
            }
            CloseFrame::TooManyConnections => "Too many connections for this token".into(),
            CloseFrame::LongMessage => format!("Message is over {MAX_CLIENT_MESSAGE} bytes"),
            CloseFrame::TooManyMessages => "Too many messages".into(),
            CloseFrame::ServiceRestart => "Service restart".into(),
            CloseFrame::TooSlow => "Too slow".into(),
            CloseFrame::ServerFull => "Server is full".into(),
            CloseFrame::NotAuthorized => "Not Authorized!".into(),
            CloseFrame::AuthTimedOut => "Authentication timed out".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::CloseCode;
    use crate::telemetry::metric_types::Label;

    #[test]
    fn every_close_code_has_a_counter_of_its_own() {
        for frame in CloseFrame::ALL {
            let name = CloseCode::of(Some(frame.code())).name();
            assert_eq!(name, frame.code().to_string(), "{frame:?}");
        }
    }

    #[test]
    fn every_reason_fits_in_a_control_frame() {
        for frame in CloseFrame::ALL {
            assert!((1..=123).contains(&frame.reason().len()), "{frame:?}");
        }
    }
}
