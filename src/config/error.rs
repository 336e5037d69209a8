//! The one error of this folder: why the settings can't be used.

use std::error::Error;
use std::fmt;

/// Why the settings can't be used, as a sentence for the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A setting has a wrong value, or two settings contradict each other.
    Setting(String),
    /// A file that a setting names can't be read.
    File(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Setting(message) | ConfigError::File(message) => {
                formatter.write_str(message)
            }
        }
    }
}

impl Error for ConfigError {}
