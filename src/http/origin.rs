//! Which web pages may subscribe: the `Origin` header against a list of patterns
//! (RFC 6455 §10.2, RFC 6454).

use std::fmt;

/// What ends a host and a port, or stands before them, in an address but not in an origin.
const NOT_IN_AN_ORIGIN: [char; 5] = ['/', '?', '#', '@', '\\'];

/// A list of origins, each of which may have `*` for any run of characters but `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// An entry that could never match.
#[derive(Debug, PartialEq, Eq)]
pub struct Dud {
    entry: String,
    flaw: Flaw,
}

/// Why an entry could never match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It has no `://`, or no host.
    NoOrigin,
    /// It has white space or a semicolon in it.
    Separator,
    /// It has a quote in it: some readers of files leave them where they are.
    Quote,
    /// It is not all ASCII.
    NotAscii,
    /// It has more than a scheme, a host and a port.
    TooLong,
    /// A star stands before a port that goes without saying, and stands for any port itself.
    DefaultPort,
}

/// As the end of a sentence that begins with the setting's name.
impl fmt::Display for Dud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.flaw {
            Flaw::NoOrigin => {
                "; use origins such as https://app.example.com or https://*.example.com, or leave \
                 it empty to allow any"
            }
            Flaw::Separator => {
                ": it has white space or a semicolon in it; separate origins with commas"
            }
            Flaw::Quote => ": it has a quote in it; leave the quotes out",
            Flaw::NotAscii => {
                ": it is not all ASCII; write the host in punycode, such as https://xn--bcher-kva.example"
            }
            Flaw::TooLong => {
                ": it has more than a scheme, a host and a port; use an origin such as \
                 https://app.example.com"
            }
            Flaw::DefaultPort => ": browsers leave that port out; leave it out too",
        };
        write!(formatter, "{:?}, which no page can match{why}", self.entry)
    }
}

impl Origins {
    /// Reads a comma-separated list; spaces around commas don't count. Each entry becomes what
    /// a browser would write.
    ///
    /// # Errors
    /// The first entry that could never match.
    pub fn parse(list: &str) -> Result<Origins, Dud> {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            normalize(entry.to_ascii_lowercase()).map_err(|flaw| Dud {
                entry: entry.to_owned(),
                flaw,
            })
        };
        entries.map(read).collect::<Result<_, _>>().map(Origins)
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// Leaves out what a browser does: the slash that its address bar shows, and the port that goes
/// without saying (RFC 6454 §6.2).
fn normalize(entry: String) -> Result<String, Flaw> {
    let is_separator = |c: char| c == ';' || c.is_whitespace();
    match () {
        () if entry == "null" => return Ok(entry),
        () if entry.contains(is_separator) => return Err(Flaw::Separator),
        () if entry.contains(['"', '\'']) => return Err(Flaw::Quote),
        () => {}
    }
    let (scheme, rest) = entry.split_once("://").ok_or(Flaw::NoOrigin)?;
    let name = rest.strip_suffix('/').unwrap_or(rest);
    let port = default_port(scheme);
    let without_port = port.and_then(|port| name.strip_suffix(port));
    let name = without_port.unwrap_or(name);
    let has_two_ports = without_port.is_some_and(|host| {
        let behind_address = host.rsplit(']').next();
        behind_address.is_some_and(|text| text.contains(':'))
    });
    match () {
        () if !entry.is_ascii() => Err(Flaw::NotAscii),
        () if [scheme, name].concat().contains(NOT_IN_AN_ORIGIN) || has_two_ports => {
            Err(Flaw::TooLong)
        }
        () if name.is_empty() && port.is_some() => Err(Flaw::NoOrigin),
        () if without_port.is_some() && name.ends_with('*') => Err(Flaw::DefaultPort),
        () => Ok(format!("{scheme}://{name}")),
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "https" => Some(":443"),
        "http" => Some(":80"),
        _ => None,
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
    fn an_entry_becomes_what_a_browser_writes() {
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
    fn an_entry_that_can_match_nothing_is_named_with_its_cure() {
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
            let dud = Origins::parse(&format!("https://a.example, {entry}")).unwrap_err();
            let sentence = dud.to_string();
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
        fn however_an_origin_is_written_the_one_of_the_browser_is_allowed(
            is_secure: bool,
            name in "[a-zA-Z0-9.-]{1,12}",
            other_port in prop::option::of(1024_u16..),
            tells_default_port: bool,
            ends_with_a_slash: bool,
        ) {
            let (scheme, default) = match is_secure {
                true => ("https", ":443"),
                false => ("http", ":80"),
            };
            let port = other_port.map_or_else(String::new, |port| format!(":{port}"));
            let origin = format!("{scheme}://{}{port}", name.to_lowercase());
            let port = match tells_default_port && other_port.is_none() {
                true => default,
                false => &port,
            };
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
