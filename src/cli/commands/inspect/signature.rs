//! Whether a secret has signed a token; if not, the likely mistake.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::auth::{Algorithm, Secret, Verifier};

/// The result of checking a signature.
#[derive(Debug, PartialEq, Eq)]
pub enum Signature {
    /// The secret has signed the token.
    Good,
    /// The previous secret has.
    Previous,
    /// Neither has; the likely reason.
    Wrong(String),
    /// It could not be checked; the reason.
    Unchecked(&'static str),
}

/// Checks the signature of a well-formed token with the algorithm that it names.
pub fn check(
    token: &str,
    algorithm: Algorithm,
    secret: &Secret,
    previous: Option<&Secret>,
) -> Signature {
    if verifies(token, algorithm, secret) {
        return Signature::Good;
    }
    if previous.is_some_and(|previous| verifies(token, algorithm, previous)) {
        return Signature::Previous;
    }
    if token.ends_with('.') {
        return Signature::Wrong("there is none: nothing comes after the last dot".into());
    }
    let cause = likely_mistakes(secret)
        .into_iter()
        .find(|(_, other)| verifies(token, algorithm, &Secret::new(other.clone())));
    Signature::Wrong(match cause {
        Some((how, _)) => format!("it is signed with {how}"),
        None => format!(
            "it is not signed with this secret of {} bytes{}; compare the two secrets; or it was \
             changed or cut",
            secret.size(),
            nor_with(previous)
        ),
    })
}

fn nor_with(previous: Option<&Secret>) -> String {
    previous.map_or_else(String::new, |previous| {
        format!(", nor with the previous one of {} bytes", previous.size())
    })
}

fn verifies(token: &str, algorithm: Algorithm, secret: &Secret) -> bool {
    Verifier::new(secret, algorithm).verify(token).is_ok()
}

/// Other secrets that come of this one: by copying it, or by decoding it as some programs do.
fn likely_mistakes(secret: &Secret) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.bytes();
    let trimmed = bytes.trim_ascii();
    let unquoted = trimmed
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let quoted = [b"\"", trimmed, b"\""].concat();
    let mut all = vec![
        (
            "this secret and a line break after it",
            [bytes, b"\n"].concat(),
        ),
        ("this secret without the space around it", trimmed.to_vec()),
        ("this secret between quotes", quoted),
        ("this secret in lower case", trimmed.to_ascii_lowercase()),
        ("this secret in upper case", trimmed.to_ascii_uppercase()),
    ];
    let decoded = [
        (
            "this secret without its quotes",
            unquoted.map(<[u8]>::to_vec),
        ),
        (
            "the bytes that this secret spells in hexadecimal",
            from_hex(trimmed),
        ),
        (
            "the bytes that this secret spells in base64",
            STANDARD.decode(trimmed).ok(),
        ),
        (
            "the bytes that this secret spells in base64url",
            URL_SAFE.decode(trimmed).ok(),
        ),
    ];
    let decoded = decoded.into_iter();
    all.extend(decoded.filter_map(|(how, bytes)| Some((how, bytes?))));
    all.retain(|(_, other)| other != bytes);
    all
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| digits.chunks(2).filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::sign;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[track_caller]
    fn expect_cause(signed_with: &[u8], words: &str) {
        let other = Secret::new(signed_with.to_vec());
        let token = sign(&serde_json::json!({}), &other, Algorithm::HS512).unwrap();
        let secret = Secret::new(HEX.into());
        match check(&token, Algorithm::HS512, &secret, None) {
            Signature::Wrong(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn usual_mistakes_are_recognised() {
        expect_cause(format!("{HEX}\n").as_bytes(), "line break");
        expect_cause(&from_hex(HEX.as_bytes()).unwrap(), "hexadecimal");
        expect_cause(&STANDARD.decode(HEX).unwrap(), "base64");
        expect_cause(format!("\"{HEX}\"").as_bytes(), "between quotes");
        expect_cause(HEX.to_uppercase().as_bytes(), "upper case");
        expect_cause(
            b"something else that is long enough",
            "not signed with this secret of 64",
        );
    }

    #[test]
    fn the_secret_itself_is_good() {
        let secret = Secret::new(HEX.into());
        let token = sign(&serde_json::json!({}), &secret, Algorithm::HS256).unwrap();
        assert_eq!(
            check(&token, Algorithm::HS256, &secret, None),
            Signature::Good
        );
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        let check = check(&format!("{unsigned}."), Algorithm::HS256, &secret, None);
        assert!(matches!(check, Signature::Wrong(why) if why.contains("none")));
    }
}
