//! Warns of bytes in a secret that are probably not meant: what an editor, a shell or a copied
//! line of an `.env` file has left there.
//!
//! They only draw a warning, since every byte of the value is part of the secret.

use crate::auth::Secret;

/// The byte order marks of UTF-8 and of both orders of UTF-16 (Unicode 16.0 §23.8).
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFF\xFE", b"\xFE\xFF"];
/// The beginnings of a line of an `.env` file that was copied whole.
const ASSIGNMENTS: [&str; 2] = ["JWT_SECRET=", "JWT_SECRET_PREVIOUS="];

/// A sentence for each suspicious part. It shows nothing of the secret but that part's kind.
pub fn warnings(secret: &Secret, name: &str) -> Vec<String> {
    let bytes = secret.bytes();
    let after_mark = BYTE_ORDER_MARKS
        .iter()
        .find_map(|mark| bytes.strip_prefix(*mark));
    let mark = after_mark.map(|_| "begins with a byte order mark".to_owned());
    let text = after_mark.unwrap_or(bytes);
    let assignment = ASSIGNMENTS
        .iter()
        .find(|name| text.starts_with(name.as_bytes()))
        .map(|name| format!("begins with {name}"));
    // Random bytes begin or end with such a character by chance: only text is looked at.
    let readable = std::str::from_utf8(text).map_or(&[][..], str::as_bytes);
    let edges = [
        edges(readable, is_space).map(|verb| format!("{verb} with white space")),
        edges(readable, is_quote).map(|verb| format!("{verb} with a quote")),
    ];
    let found = [mark, assignment].into_iter().chain(edges);
    found
        .flatten()
        .map(|part| format!("{name} {part}, which is part of it; is that meant?"))
        .collect()
}

/// The verb for a text that has such a byte at its beginning, its end or both.
fn edges(text: &[u8], is_suspicious: fn(u8) -> bool) -> Option<&'static str> {
    let at = |edge: Option<&u8>| edge.is_some_and(|&byte| is_suspicious(byte));
    match (at(text.first()), at(text.last())) {
        (true, true) => Some("begins and ends"),
        (true, false) => Some("begins"),
        (false, true) => Some("ends"),
        (false, false) => None,
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii() && char::from(byte).is_whitespace()
}

fn is_quote(byte: u8) -> bool {
    [b'\'', b'"'].contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn warned(secret: &[u8]) -> Vec<String> {
        warnings(&Secret::new(secret.to_vec()), "the secret")
    }

    #[test]
    fn leftovers_in_a_secret_draw_a_warning() {
        for (secret, part) in [
            (&b" hush"[..], "begins with white space"),
            (b"hush\n", "ends with white space"),
            (b"\thush\x0B", "begins and ends with white space"),
            (b"'hush", "begins with a quote"),
            (b"hush\"", "ends with a quote"),
            (b"\"hush\"", "begins and ends with a quote"),
            (b"\xEF\xBB\xBFhush", "begins with a byte order mark"),
            (b"\xFF\xFEh\0u\0", "begins with a byte order mark"),
            (b"JWT_SECRET=hush", "begins with JWT_SECRET="),
            (
                b"JWT_SECRET_PREVIOUS=hush",
                "begins with JWT_SECRET_PREVIOUS=",
            ),
        ] {
            let sentence = format!("the secret {part}, which is part of it; is that meant?");
            assert_eq!(warned(secret), [sentence]);
        }
    }

    #[test]
    fn each_of_several_leftovers_draws_a_warning() {
        let all = warned(b"\xEF\xBB\xBFJWT_SECRET=\"hush hush\"");
        let expected = ["a byte order mark", "JWT_SECRET=", "ends with a quote"];
        assert_eq!(all.len(), expected.len(), "{all:?}");
        for (sentence, part) in all.iter().zip(expected) {
            assert!(
                sentence.contains(part) && !sentence.contains("hush"),
                "{sentence}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_secret_without_leftovers_draws_no_warning(
            inside in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let secret = [&b"x"[..], &inside, b"="].concat();
            prop_assert_eq!(warned(&secret), Vec::<String>::new());
        }
    }
}
