//! Why a WebSocket connection ends.

use crate::protocol::close_frame::CloseFrame;
use crate::telemetry::labels::{AuthFailure, CloseCode};

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// The client sent a close frame, with this code if it had one.
    ClientClosed(Option<u16>),
    /// The connection broke, or ended without a close frame.
    Gone,
    /// Nothing has been received for two ping intervals.
    Silent,
    /// The client took nothing for the write time limit.
    Stalled,
    /// More waited for the client than may.
    TooSlow,
    /// The client sent more messages than it may.
    TooManyMessages,
    /// There was no memory for the rest of its message.
    OverInputBudget,
    /// No valid token was shown in time.
    AuthTimedOut,
    /// An invalid token was shown. The reason is for the log alone.
    NotAuthorized(AuthFailure),
    /// The server is shutting down.
    Stopping,
    /// The client broke the protocol; no further frame can be parsed.
    Broken(CloseFrame),
    /// The client asked for what it may not have.
    Rejected(CloseFrame),
}

impl Disconnect {
    /// One word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Disconnect::ClientClosed(_) => "client_closed",
            Disconnect::Gone => "gone",
            Disconnect::Silent => "silent",
            Disconnect::Stalled => "stalled",
            Disconnect::TooSlow => "too_slow",
            Disconnect::TooManyMessages => "too_many_messages",
            Disconnect::OverInputBudget => "over_input_budget",
            Disconnect::AuthTimedOut => "auth_timed_out",
            Disconnect::Stopping => "stopping",
            Disconnect::Broken(_) => "broken",
            Disconnect::NotAuthorized(_) | Disconnect::Rejected(_) => "rejected",
        }
    }

    /// The close frame that the client gets, if the server sends one.
    pub fn close_frame(self) -> Option<CloseFrame> {
        match self {
            Disconnect::ClientClosed(_)
            | Disconnect::Gone
            | Disconnect::Silent
            | Disconnect::Stalled => None,
            Disconnect::TooSlow => Some(CloseFrame::TooSlow),
            Disconnect::TooManyMessages => Some(CloseFrame::TooManyMessages),
            Disconnect::OverInputBudget => Some(CloseFrame::ServerFull),
            Disconnect::AuthTimedOut => Some(CloseFrame::AuthTimedOut),
            Disconnect::NotAuthorized(_) => Some(CloseFrame::NotAuthorized),
            Disconnect::Stopping => Some(CloseFrame::ServiceRestart),
            Disconnect::Broken(frame) | Disconnect::Rejected(frame) => Some(frame),
        }
    }

    /// The label under which the end is counted.
    pub fn label(self) -> CloseCode {
        match (self, self.close_frame()) {
            (Disconnect::ClientClosed(code), _) => CloseCode::of(code),
            (_, Some(frame)) => CloseCode::of(Some(frame.code())),
            (_, None) => CloseCode::NONE,
        }
    }
}
