//! What a channel may be called.

use std::fmt;

/// Longest channel name, in bytes.
const MAX_NAME: usize = 255;

/// What is wrong with a channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no characters.
    Empty,
    /// It has over 255 bytes.
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => formatter.write_str("is empty"),
            Fault::TooLong => write!(formatter, "is over {MAX_NAME} bytes"),
        }
    }
}

/// Checks a channel's name.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), Fault> {
    match name.len() {
        0 => Err(Fault::Empty),
        1..=MAX_NAME => Ok(()),
        _ => Err(Fault::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_255_bytes() {
        assert_eq!(check(""), Err(Fault::Empty));
        assert_eq!(check(&"x".repeat(255)), Ok(()));
        assert_eq!(check(&"ä".repeat(128)), Err(Fault::TooLong));
    }
}
