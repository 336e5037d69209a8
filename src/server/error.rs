//! Why the server can't serve.

use std::fmt;
use std::io;

/// Why the server can't serve: what was tried, and what the system said.
#[derive(Debug)]
pub struct ServerError(String);

impl ServerError {
    /// Puts what was tried before what the system said.
    pub fn new(what: impl fmt::Display) -> impl FnOnce(io::Error) -> ServerError {
        move |error| ServerError(format!("{what}: {error}"))
    }

    /// The same, followed by a cure.
    pub fn with_cure(self, cure: &str) -> ServerError {
        ServerError(self.0 + cure)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}
