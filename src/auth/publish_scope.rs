//! The scope of a publisher's token: the channels that its claim `broadcast` allows.
//!
//! A pattern is the name of a channel, or with a `*` at its end a prefix of names. A `*` elsewhere
//! is a character like any other, since channel names may have one.

use serde_json::value::RawValue;

use super::error::AuthError;
use crate::protocol::json::Text;

/// The patterns of one token, borrowed from its claims.
#[derive(Debug)]
pub struct PublishScope<'a>(Vec<Text<'a>>);

impl<'a> PublishScope<'a> {
    /// Reads the claim as the application wrote it.
    ///
    /// # Errors
    /// [`AuthError::NoScope`] when it is missing, [`AuthError::InvalidScope`] when it is not an array
    /// of strings.
    pub fn read(claim: Option<&'a RawValue>) -> Result<PublishScope<'a>, AuthError> {
        let claim = claim.ok_or(AuthError::NoScope)?;
        serde_json::from_str(claim.get())
            .map(PublishScope)
            .map_err(|_| AuthError::InvalidScope)
    }

    /// Whether a pattern matches this channel.
    pub fn allows(&self, channel: &str) -> bool {
        self.0.iter().any(|Text(pattern)| matches(pattern, channel))
    }

    /// The patterns, in the claim's order.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|Text(pattern)| &**pattern)
    }
}

fn matches(pattern: &str, channel: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => channel.starts_with(prefix),
        None => channel == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(claim: &str) -> Result<Vec<String>, AuthError> {
        let raw: &RawValue = serde_json::from_str(claim).unwrap();
        PublishScope::read(Some(raw)).map(|scope| scope.patterns().map(String::from).collect())
    }

    #[test]
    fn a_claim_is_an_array_of_strings() {
        assert_eq!(read(r#"["a","\u0062*"]"#).unwrap(), ["a", "b*"]);
        assert_eq!(read("[]").unwrap(), [""; 0]);
        for claim in [r#""a""#, "[1]", r#"["a",null]"#, "{}", "null", "true"] {
            assert_eq!(read(claim), Err(AuthError::InvalidScope), "{claim}");
        }
        assert_eq!(PublishScope::read(None).unwrap_err(), AuthError::NoScope);
    }

    #[test]
    fn only_a_star_at_the_end_is_a_wildcard() {
        for (pattern, channel) in [
            ("news", "news"),
            ("user:*", "user:1"),
            ("user:*", "user:"),
            ("user:*", "user:*"),
            ("*", "ä"),
            ("a*b", "a*b"),
            ("**", "*x"),
        ] {
            assert!(matches(pattern, channel), "{pattern} {channel}");
        }
        for (pattern, channel) in [
            ("news", "new"),
            ("news", "news:1"),
            ("news", "News"),
            ("user:*", "user"),
            ("user:*", "xuser:1"),
            ("*:1", "user:1"),
            ("a*b", "axb"),
            ("**", "x"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, channel), "{pattern} {channel}");
        }
    }

    proptest! {
        #[test]
        fn a_star_matches_its_prefix_and_nothing_else(
            prefix in "[a-b:*ä]{0,4}",
            channel in "[a-b:*ä]{1,6}",
        ) {
            let begins = channel.char_indices().any(|(at, _)| channel[..at] == prefix)
                || channel == prefix;
            prop_assert_eq!(matches(&format!("{prefix}*"), &channel), begins);
        }
    }
}
