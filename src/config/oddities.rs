//! What a secret hardly has on purpose: what an editor, a shell or a copied line has left on it.
//!
//! It is part of the secret all the same, since every byte is; so it is only pointed out.

use crate::auth::Secret;

/// Of UTF-8, and of the two orders of UTF-16 (Unicode 16.0 §23.8).
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFF\xFE", b"\xFE\xFF"];
/// How a line of an `.env` file begins that is not a secret, but has one.
const ASSIGNMENTS: [&str; 2] = ["JWT_SECRET=", "JWT_SECRET_PREVIOUS="];

/// A sentence for each oddity. Of the secret it shows nothing but that.
pub fn of(secret: &Secret, name: &str) -> Vec<String> {
    let bytes = secret.bytes();
    let behind_mark = BYTE_ORDER_MARKS
        .iter()
        .find_map(|mark| bytes.strip_prefix(*mark));
    let mark = behind_mark.map(|_| "begins with a byte order mark".to_owned());
    let text = behind_mark.unwrap_or(bytes);
    let assignment = ASSIGNMENTS
        .iter()
        .find(|name| text.starts_with(name.as_bytes()))
        .map(|name| format!("begins with {name}"));
    // What is no text is random bytes, of which some have those by chance.
    let readable = std::str::from_utf8(text).map_or(&[][..], str::as_bytes);
    let edges = [
        edges(readable, is_space).map(|verb| format!("{verb} with white space")),
        edges(readable, is_quote).map(|verb| format!("{verb} with a quote")),
    ];
    let found = [mark, assignment].into_iter().chain(edges);
    found
        .flatten()
        .map(|oddity| format!("{name} {oddity}, which is part of it; is that meant?"))
        .collect()
}

/// What a text does that has such a byte at its ends.
fn edges(text: &[u8], is_odd: fn(u8) -> bool) -> Option<&'static str> {
    let at = |edge: Option<&u8>| edge.is_some_and(|&byte| is_odd(byte));
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

    fn told(secret: &[u8]) -> Vec<String> {
        of(&Secret::new(secret.to_vec()), "the secret")
    }

    #[test]
    fn what_was_left_on_a_secret_is_pointed_out() {
        for (secret, oddity) in [
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
            let sentence = format!("the secret {oddity}, which is part of it; is that meant?");
            assert_eq!(told(secret), [sentence]);
        }
    }

    #[test]
    fn each_of_several_oddities_is_pointed_out() {
        let all = told(b"\xEF\xBB\xBFJWT_SECRET=\"hush hush\"");
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
        fn a_secret_without_oddities_draws_none_whatever_is_inside(
            inside in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let secret = [&b"x"[..], &inside, b"="].concat();
            prop_assert_eq!(told(&secret), Vec::<String>::new());
        }
    }
}
