//! The outcome of a command: an exit status, or an error.

use std::fmt;
use std::io;

use crate::config::ConfigError;

/// The result of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Good,
    /// Something is wrong, and was printed.
    Bad,
    /// Nothing is wrong as far as could be checked.
    Unknown,
}

impl Status {
    /// The exit status. Wrong arguments and settings are a [`CommandError`], with status 2.
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
pub enum CommandError {
    /// The settings are wrong.
    Config(ConfigError),
    /// The arguments are wrong.
    Usage(String),
    /// The system or a server failed.
    Failed(String),
}

impl CommandError {
    /// Makes an error of an I/O error, with a text in front that says what failed.
    pub fn system(what: impl fmt::Display) -> impl FnOnce(io::Error) -> CommandError {
        move |error| CommandError::Failed(format!("{what}: {error}"))
    }

    /// The exit status: 2 for wrong arguments and settings, 1 for all other errors.
    pub fn code(&self) -> u8 {
        match self {
            CommandError::Config(ConfigError::Setting(_)) | CommandError::Usage(_) => 2,
            CommandError::Config(ConfigError::File(_)) | CommandError::Failed(_) => 1,
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> CommandError {
        CommandError::Config(error)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Config(error) => error.fmt(formatter),
            CommandError::Usage(sentence) | CommandError::Failed(sentence) => {
                formatter.write_str(sentence)
            }
        }
    }
}
