//! What a channel may be called.

use std::fmt;

use super::limits::MAX_CHANNEL_NAME;

/// What is wrong with a channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is over [`MAX_CHANNEL_NAME`] bytes.
    TooLong,
}

/// The end of a sentence that begins with what is named.
impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => formatter.write_str("is empty"),
            NameError::TooLong => write!(formatter, "is over {MAX_CHANNEL_NAME} bytes"),
        }
    }
}

/// Checks a channel's name.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        1..=MAX_CHANNEL_NAME => Ok(()),
        _ => Err(NameError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_255_bytes() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(&"x".repeat(255)), Ok(()));
        assert_eq!(check(&"ä".repeat(128)), Err(NameError::TooLong));
    }
}
