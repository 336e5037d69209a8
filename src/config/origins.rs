//! Which web pages may subscribe: the `Origin` header against a list of patterns
//! (RFC 6455 §10.2, RFC 6454).

use std::fmt;

/// A list of origins, each of which may have `*` for any run of characters but `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Reads a comma-separated list; spaces around commas don't count.
    ///
    /// # Errors
    /// The first entry that could never match: one without `://`, but for `null`.
    pub fn parse(list: &str) -> Result<Origins, String> {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let patterns: Vec<String> = entries.map(str::to_ascii_lowercase).collect();
        match patterns
            .iter()
            .find(|pattern| !pattern.contains("://") && *pattern != "null")
        {
            Some(pattern) => Err(pattern.clone()),
            None => Ok(Origins(patterns)),
        }
    }

    /// Whether an origin is on the list. Schemes and hosts know no upper case.
    pub fn allow(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|pattern| matches(pattern, &origin))
    }
}

/// The list as one would write it.
impl fmt::Display for Origins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// No star crosses a slash, so what lies between slashes can be matched for itself.
fn matches(pattern: &str, origin: &str) -> bool {
    pattern.split('/').count() == origin.split('/').count()
        && pattern
            .split('/')
            .zip(origin.split('/'))
            .all(|(pattern, part)| glob(pattern, part))
}

/// `*` is any run of characters. Each piece is taken where it first fits; the last one
/// has to fit at the end.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allow(list: &str, origin: &str) -> bool {
        Origins::parse(list).unwrap().allow(origin)
    }

    #[test]
    fn names_and_stars_match() {
        assert!(allow("https://a.example", "https://a.example"));
        assert!(allow(
            " https://x.example , https://*.example:* ",
            "https://b.example:8443"
        ));
        assert!(allow("*://a.example", "HTTP://A.example"));
        assert!(allow("https://*", "https://anything.example"));
        assert!(allow("null", "null"));
    }

    #[test]
    fn a_star_stays_between_slashes() {
        assert!(!allow("https://*.example", "https://evil.com/.example"));
        assert!(!allow("https://*", "https://a/b"));
        assert!(!allow("https://*.example", "https://example"));
        assert!(!allow("https://a.example", "https://a.example.evil.com"));
        assert!(!allow("https://a*a.example", "https://a.example"));
        assert!(!allow("https://a.example", "http://a.example"));
    }

    #[test]
    fn an_entry_that_can_match_nothing_is_named() {
        assert_eq!(
            Origins::parse("https://a.example, b.example"),
            Err("b.example".into())
        );
        assert_eq!(Origins::parse("*"), Err("*".into()));
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_stars_stand_for(
            pieces in prop::collection::vec("[ab.:]{0,3}", 1..4),
            runs in prop::collection::vec("[ab.:]{0,3}", 3),
        ) {
            let mut text = String::new();
            for (i, piece) in pieces.iter().enumerate() {
                text += piece;
                if i + 1 < pieces.len() { text += &runs[i]; }
            }
            prop_assert!(glob(&pieces.join("*"), &text));
        }

        #[test]
        fn no_text_makes_it_panic(list in "\\PC{0,30}", origin in "\\PC{0,30}") {
            if let Ok(origins) = Origins::parse(&list) { origins.allow(&origin); }
        }
    }
}
