//! To which channels a publisher's token may send: the claim `broadcast`.
//!
//! A leaf. A pattern is a channel's name, or with a `*` at its end all names that begin so.
//! Elsewhere a star is a character like others, for names may have one.

use std::fmt;

use serde_json::value::RawValue;

use crate::protocol::json::Text;

/// The patterns of one token, borrowed from its claims.
#[derive(Debug)]
pub struct Grant<'a>(Vec<Text<'a>>);

/// Why a token allows nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no such claim: it is another kind of token.
    Missing,
    /// The claim is something else than an array of strings.
    NoList,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Fault::Missing => {
                r#"token allows no channel; it needs a claim "broadcast":["<channel>"]"#
            }
            Fault::NoList => "token's claim broadcast is not an array of strings",
        })
    }
}

impl<'a> Grant<'a> {
    /// Reads the claim as the application wrote it.
    ///
    /// # Errors
    /// When it is missing or no array of strings.
    pub fn read(claim: Option<&'a RawValue>) -> Result<Grant<'a>, Fault> {
        let claim = claim.ok_or(Fault::Missing)?;
        serde_json::from_str(claim.get())
            .map(Grant)
            .map_err(|_| Fault::NoList)
    }

    /// Whether a pattern covers this channel.
    pub fn allows(&self, channel: &str) -> bool {
        self.0.iter().any(|Text(pattern)| covers(pattern, channel))
    }

    /// The patterns, as one would read them.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|Text(pattern)| &**pattern)
    }
}

fn covers(pattern: &str, channel: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => channel.starts_with(beginning),
        None => channel == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(claim: &str) -> Result<Vec<String>, Fault> {
        let raw: &RawValue = serde_json::from_str(claim).unwrap();
        Grant::read(Some(raw)).map(|grant| grant.patterns().map(String::from).collect())
    }

    #[test]
    fn a_claim_is_an_array_of_strings() {
        assert_eq!(read(r#"["a","\u0062*"]"#).unwrap(), ["a", "b*"]);
        assert_eq!(read("[]").unwrap(), [""; 0]);
        for claim in [r#""a""#, "[1]", r#"["a",null]"#, "{}", "null", "true"] {
            assert_eq!(read(claim), Err(Fault::NoList), "{claim}");
        }
        assert_eq!(Grant::read(None).unwrap_err(), Fault::Missing);
    }

    #[test]
    fn only_a_star_at_the_end_stands_for_more() {
        for (pattern, channel) in [
            ("news", "news"),
            ("user:*", "user:1"),
            ("user:*", "user:"),
            ("user:*", "user:*"),
            ("*", "ä"),
            ("a*b", "a*b"),
            ("**", "*x"),
        ] {
            assert!(covers(pattern, channel), "{pattern} {channel}");
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
            assert!(!covers(pattern, channel), "{pattern} {channel}");
        }
    }

    proptest! {
        #[test]
        fn a_star_covers_what_begins_so_and_nothing_else(
            beginning in "[a-b:*ä]{0,4}",
            channel in "[a-b:*ä]{1,6}",
        ) {
            let begins = channel.char_indices().any(|(at, _)| channel[..at] == beginning)
                || channel == beginning;
            prop_assert_eq!(covers(&format!("{beginning}*"), &channel), begins);
        }
    }
}
