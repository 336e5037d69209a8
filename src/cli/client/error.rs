//! What can go wrong between a command and a server.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Why a request has no answer, or a subscription is over.
#[derive(Debug)]
pub enum ClientError {
    /// A signal asked to stop, or the reader of our output is gone.
    Cancelled,
    /// The host's name has no address, or no address took the connection.
    Unreachable(io::Error),
    /// The connection broke, or no answer came in time.
    Broken(io::Error),
    /// The answer is not what a Bifrost server sends.
    Protocol(String),
    /// The server refused, and would again.
    Rejected(String),
    /// The server refused, ended the connection or fell silent; that may pass.
    Lost(String),
}

impl ClientError {
    /// Whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, ClientError::Cancelled | ClientError::Rejected(_))
    }
}

impl Error for ClientError {}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Cancelled => formatter.write_str("cancelled"),
            ClientError::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                formatter.write_str("nothing listens there; is the server running?")
            }
            ClientError::Unreachable(error) if is_timeout(error) => {
                formatter.write_str("can't connect in time; is there a firewall?")
            }
            ClientError::Unreachable(error) => write!(formatter, "can't connect: {error}"),
            ClientError::Broken(error) if is_timeout(error) => {
                formatter.write_str("no answer in time")
            }
            ClientError::Broken(error) => write!(formatter, "the connection broke: {error}"),
            ClientError::Protocol(sentence)
            | ClientError::Rejected(sentence)
            | ClientError::Lost(sentence) => formatter.write_str(sentence),
        }
    }
}

/// Whether a time limit has passed; a socket with one reports either kind.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
