//! How a command ends: a status, or a sentence.

use std::fmt;
use std::io;

use crate::config::ConfigError;

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Good,
    /// It found that something is not, and has said so.
    Bad,
    /// It found nothing wrong, but could not look everywhere.
    Unknown,
}

impl Status {
    /// The exit status. 2 is for what was typed or set wrong, which is a [`Failure`].
    pub fn code(self) -> u8 {
        match self {
            Status::Good => 0,
            Status::Bad => 1,
            Status::Unknown => 3,
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The settings are wrong.
    Config(ConfigError),
    /// The arguments are wrong.
    Usage(String),
    /// The system or a server does not do what is asked of it.
    Failed(String),
}

impl Failure {
    /// Puts what was tried before what the system said.
    pub fn system(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::Failed(format!("{what}: {error}"))
    }

    /// The exit status: 2 for what was typed or set wrong, 1 for what else goes wrong.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Config(ConfigError::Setting(_)) | Failure::Usage(_) => 2,
            Failure::Config(ConfigError::File(_)) | Failure::Failed(_) => 1,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Config(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(formatter),
            Failure::Usage(sentence) | Failure::Failed(sentence) => formatter.write_str(sentence),
        }
    }
}
