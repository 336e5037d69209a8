//! What can go wrong between us and a server.

use std::fmt;
use std::io::{self, ErrorKind};

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// The host's name means nothing, or nobody listens there.
    Unreachable(io::Error),
    /// The connection was there, and broke.
    Broken(io::Error),
    /// Something answers, but not in HTTP as a server of ours speaks it.
    Foreign(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                formatter.write_str("nobody listens there; is the server running?")
            }
            Trouble::Unreachable(error) if is_late(error) => {
                formatter.write_str("can't connect in time; is there a firewall?")
            }
            Trouble::Unreachable(error) => write!(formatter, "can't connect: {error}"),
            Trouble::Broken(error) if is_late(error) => formatter.write_str("no answer in time"),
            Trouble::Broken(error) => write!(formatter, "the connection broke: {error}"),
            Trouble::Foreign(what) => formatter.write_str(what),
        }
    }
}

/// A socket with a time limit says it in either way.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
