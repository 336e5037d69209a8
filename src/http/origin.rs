//! Which web pages may subscribe: the `Origin` header against a list of patterns
//! (RFC 6455 §10.2, RFC 6454).

use std::error::Error;
use std::fmt;

/// Characters that delimit other parts of a URL: a path, a query, a fragment or a user.
const NOT_IN_AN_ORIGIN: [char; 5] = ['/', '?', '#', '@', '\\'];

/// A list of origins. In each, `*` stands for any run of characters but `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// An entry that no page can match, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct OriginError {
    entry: String,
    reason: Reason,
}

/// Why no page can match an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It has no `://`, or no host.
    NoOrigin,
    /// It contains white space or a semicolon, where a comma was meant.
    Separator,
    /// It contains a quote: some readers of `.env` files leave quotes where they are.
    Quote,
    /// It contains a character that is not ASCII.
    NotAscii,
    /// It has more than a scheme, a host and a port.
    TooLong,
    /// It has a `*` before the scheme's default port, which browsers leave out.
    DefaultPort,
}

impl Reason {
    /// What follows the entry in the message.
    fn text(self) -> &'static str {
        match self {
            Reason::NoOrigin => {
                "; use origins such as https://app.example.com or https://*.example.com, or leave \
                 it empty to allow any"
            }
            Reason::Separator => {
                ": it has white space or a semicolon in it; separate origins with commas"
            }
            Reason::Quote => ": it has a quote in it; leave the quotes out",
            Reason::NotAscii => {
                ": it is not all ASCII; write the host in punycode, such as https://xn--bcher-kva.example"
            }
            Reason::TooLong => {
                ": it has more than a scheme, a host and a port; use an origin such as \
                 https://app.example.com"
            }
            Reason::DefaultPort => ": browsers leave that port out; leave it out too",
        }
    }
}

/// The end of a sentence that begins with the setting's name.
impl fmt::Display for OriginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OriginError { entry, reason } = self;
        write!(
            formatter,
            "{entry:?}, which no page can match{}",
            reason.text()
        )
    }
}

impl Error for OriginError {}

impl Origins {
    /// Reads a comma-separated list; spaces around commas are ignored. Each entry is stored as a
    /// browser would write it.
    ///
    /// # Errors
    /// The first entry that no page can match.
    pub fn parse(list: &str) -> Result<Origins, OriginError> {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            normalize(entry.to_ascii_lowercase()).map_err(|reason| OriginError {
                entry: entry.to_owned(),
                reason,
            })
        };
        entries.map(read).collect::<Result<_, _>>().map(Origins)
    }

    /// Whether the list has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry matches the origin. Upper and lower case are the same in schemes and hosts.
    pub fn allow(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|pattern| matches(pattern, &origin))
    }
}

/// The list as one would write it in the setting.
impl fmt::Display for Origins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// Writes an entry as a browser would: without a slash at the end, and without the scheme's
/// default port (RFC 6454 §6.2).
fn normalize(entry: String) -> Result<String, Reason> {
    if entry == "null" {
        return Ok(entry);
    }
    check_characters(&entry)?;
    let (scheme, rest) = entry.split_once("://").ok_or(Reason::NoOrigin)?;
    let host_and_port = rest.strip_suffix('/').unwrap_or(rest);
    let default_port = default_port(scheme);
    let without_port = default_port.and_then(|port| host_and_port.strip_suffix(port));
    let name = without_port.unwrap_or(host_and_port);
    if !entry.is_ascii() {
        return Err(Reason::NotAscii);
    }
    let is_too_long = [scheme, name].concat().contains(NOT_IN_AN_ORIGIN);
    if is_too_long || without_port.is_some_and(has_port) {
        return Err(Reason::TooLong);
    }
    if name.is_empty() && default_port.is_some() {
        return Err(Reason::NoOrigin);
    }
    if without_port.is_some() && name.ends_with('*') {
        return Err(Reason::DefaultPort);
    }
    Ok(format!("{scheme}://{name}"))
}

/// Refuses what shows that the list itself is written wrong.
fn check_characters(entry: &str) -> Result<(), Reason> {
    if entry.contains(|c: char| c == ';' || c.is_whitespace()) {
        return Err(Reason::Separator);
    }
    if entry.contains(['"', '\'']) {
        return Err(Reason::Quote);
    }
    Ok(())
}

/// Whether a host is followed by a port. The colons of an IPv6 address are in brackets.
fn has_port(host: &str) -> bool {
    let after_address = host.rsplit(']').next();
    after_address.is_some_and(|text| text.contains(':'))
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "https" => Some(":443"),
        "http" => Some(":80"),
        _ => None,
    }
}

/// Matches the parts between slashes one by one, since a star never stands for a slash.
fn matches(pattern: &str, origin: &str) -> bool {
    pattern.split('/').count() == origin.split('/').count()
        && pattern
            .split('/')
            .zip(origin.split('/'))
            .all(|(pattern, part)| glob(pattern, part))
}

/// Matches a text with a pattern in which `*` stands for any run of characters. Each piece
/// between two stars is taken where it first fits; the last one has to fit at the end.
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
    fn an_entry_is_stored_as_a_browser_writes_it() {
        for (written, origin) in [
            ("https://A.example/", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("HTTP://a.example:80/", "http://a.example"),
            ("https://[::1]:443", "https://[::1]"),
            ("https://a.example:80", "https://a.example:80"),
            ("http://a.example:8080/", "http://a.example:8080"),
            ("https://*.example:443/", "https://*.example"),
            ("*://a.example:443", "*://a.example:443"),
            ("file:///", "file://"),
            ("app://a:443", "app://a:443"),
            ("NULL", "null"),
        ] {
            let origins = Origins::parse(written).unwrap();
            assert_eq!(origins.to_string(), origin);
            assert!(origins.allow(origin));
        }
    }

    #[test]
    fn a_list_without_an_entry_is_empty() {
        assert!(Origins::parse(" , ,").unwrap().is_empty());
        assert!(!Origins::parse("null").unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_no_page_can_match_is_named_with_the_reason() {
        for (entry, cure) in [
            ("b.example", "use origins such as"),
            ("*", "use origins such as"),
            ("https://", "use origins such as"),
            ("http://:80/", "use origins such as"),
            ("https://B.example/app", "has more than"),
            ("https://b.example//", "has more than"),
            ("https://b.example?", "has more than"),
            ("https://me@b.example", "has more than"),
            ("https://b.example:443:443", "has more than"),
            ("https://b.example https://c.example", "with commas"),
            ("https://b.example;https://c.example", "with commas"),
            ("\"https://b.example\"", "leave the quotes out"),
            ("https://bücher.example", "punycode"),
            ("https://*:443", "leave it out too"),
        ] {
            let error = Origins::parse(&format!("https://a.example, {entry}")).unwrap_err();
            let sentence = error.to_string();
            assert!(
                sentence.starts_with(&format!("{entry:?}, which")),
                "{sentence}"
            );
            assert!(sentence.contains(cure), "{sentence}");
        }
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
        fn the_origin_of_the_browser_is_allowed_in_every_spelling(
            is_secure: bool,
            name in "[a-zA-Z0-9.-]{1,12}",
            other_port in prop::option::of(1024_u16..),
            writes_default_port: bool,
            ends_with_a_slash: bool,
        ) {
            let (scheme, default) = if is_secure { ("https", ":443") } else { ("http", ":80") };
            let port = other_port.map_or_else(String::new, |port| format!(":{port}"));
            let origin = format!("{scheme}://{}{port}", name.to_lowercase());
            let has_default_port = writes_default_port && other_port.is_none();
            let port = if has_default_port { default } else { &port };
            let slash = if ends_with_a_slash { "/" } else { "" };
            let origins = Origins::parse(&format!("{scheme}://{name}{port}{slash}")).unwrap();
            prop_assert_eq!(origins.to_string(), origin.clone());
            prop_assert!(origins.allow(&origin));
        }

        #[test]
        fn what_is_read_reads_the_same_again(list in "(https?://|null|[a*.:/,; 0-9]|:443|:80){0,8}") {
            if let Ok(origins) = Origins::parse(&list) {
                prop_assert_eq!(Origins::parse(&origins.to_string()), Ok(origins));
            }
        }

        #[test]
        fn no_text_makes_it_panic(list in "\\PC{0,30}", origin in "\\PC{0,30}") {
            if let Ok(origins) = Origins::parse(&list) { origins.allow(&origin); }
        }
    }
}
