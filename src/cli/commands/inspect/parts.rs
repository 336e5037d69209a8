//! A token's three parts, and what keeps them from being read.

use crate::auth;

/// How a text begins that has been copied with more than the token.
const WRAPPINGS: [&str; 4] = ["{", "\"", "Bearer ", "token="];

/// The three parts of a token, as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub header: &'a str,
    pub claims: &'a str,
    pub signature: &'a str,
}

/// Takes a token apart.
///
/// # Errors
/// A sentence that says why it can't be one.
pub fn split(token: &str) -> Result<Parts<'_>, String> {
    if WRAPPINGS.iter().any(|start| token.starts_with(start)) {
        return Err(
            "there is more than the token; give the token without what is around it".into(),
        );
    }
    match token.split('.').collect::<Vec<_>>()[..] {
        [header, claims, signature] => Ok(Parts {
            header,
            claims,
            signature,
        }),
        [""] => Err("there is no token".into()),
        ref parts => {
            let hint = match parts.len() {
                5 => "; five parts are an encrypted token (JWE), which is not accepted",
                2 => "; was the signature lost?",
                _ => "",
            };
            let count = parts.len();
            let plural = if count == 1 { "" } else { "s" };
            Err(format!(
                "it has {count} part{plural}, where a JWT has three, divided by dots{hint}"
            ))
        }
    }
}

/// Decodes a part.
///
/// # Errors
/// A sentence that says why it is not base64url (RFC 7515 §2).
pub fn decode(part: &str, name: &str) -> Result<Vec<u8>, String> {
    if let Some(bytes) = auth::decode_part(part) {
        return Ok(bytes);
    }
    let is_of_the_alphabet = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let odd = part.chars().find(|&c| !is_of_the_alphabet(c));
    Err(match odd {
        Some('=') => format!("the {name} has = in it; base64url in a JWT has no padding"),
        Some(c @ ('+' | '/')) => {
            format!("the {name} has {c} in it: that is base64, a JWT has base64url")
        }
        Some(c) if c.is_whitespace() => format!("the {name} has a space or a line break in it"),
        Some(c) => format!("the {name} has {c:?} in it, which is not base64url"),
        None => format!("the {name} is not whole: its base64url breaks off"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_error_says_why_a_text_is_no_token() {
        for (token, words) in [
            ("", "no token"),
            ("abc", "it has 1 part, where a JWT has three"),
            ("a.b", "signature lost"),
            ("a.b.c.d.e", "encrypted"),
            (r#"{"token":"x"}"#, "more than the token"),
            ("Bearer a.b.c", "more than the token"),
        ] {
            let why = split(token).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn what_is_no_base64url_is_told_why() {
        for (part, words) in [
            ("e30=", "padding"),
            ("a+b/", "that is base64"),
            ("e3 0", "space"),
            ("e30ä", "'ä'"),
            ("e", "breaks off"),
        ] {
            let why = decode(part, "header").unwrap_err();
            assert!(why.contains(words) && why.contains("header"), "{why}");
        }
        assert_eq!(decode("e30", "header").unwrap(), b"{}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            if let Ok(parts) = split(&text) {
                let _ = decode(parts.header, "header");
            }
        }
    }
}
