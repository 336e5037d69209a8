//! Tokens: verifying, reading the claims, signing (RFC 7515, RFC 7519).
//!
//! The only place that knows JWT. jsonwebtoken signs; what is verified is taken apart here,
//! so that header and claims are parsed once and borrowed from one buffer, the message
//! keeps the application's own bytes, and time has no rounding. `mac` holds the key.

mod mac;
mod provider;
pub mod publish_scope;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::json;

pub use mac::{Algorithm, Secret};

use mac::Mac;

/// Why a token is not taken. It is counted for the operator; whoever shows the token is told
/// the same for all of them but [`TokenError::TooDeep`], so that nobody learns from the answer
/// what a forgery still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It has not three parts in base64, or its header is not an object with an `alg`, or is
    /// nested deeper than [`json::MAX_DEPTH`].
    Malformed,
    /// `alg` is another one, or there is a `crit`.
    Algorithm,
    /// The signature is not ours.
    Signature,
    /// The claims are not an object, or a time is not a number.
    Claims,
    /// The claims are nested deeper than [`json::MAX_DEPTH`].
    TooDeep,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
}

/// A token whose signature has been checked: the claims' JSON text.
#[derive(Debug)]
pub struct Verified(Vec<u8>);

/// The claims that mean something here, each as the application wrote it.
#[derive(Debug, Deserialize)]
pub struct Claims<'a> {
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
    /// Where a broadcast goes.
    #[serde(borrow)]
    pub channel: Option<&'a RawValue>,
    /// What a broadcast says.
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    /// Where a publisher may send, see [`crate::grant`].
    #[serde(borrow)]
    pub broadcast: Option<&'a RawValue>,
    /// What a subscriber may listen to.
    #[serde(borrow)]
    pub channels: Option<&'a RawValue>,
}

/// The parts of a JOSE header that decide (RFC 7515 §4.1).
#[derive(Deserialize)]
pub struct Jose<'a> {
    /// The algorithm, as it was written.
    #[serde(borrow)]
    pub alg: Cow<'a, str>,
    /// Whether there are extensions that must be understood; none are (§4.1.11).
    #[serde(default, deserialize_with = "json::is_given")]
    pub crit: bool,
}

/// Checks tokens against one secret, or during a rotation two, and one algorithm.
pub struct Verifier {
    mac: Mac,
    /// Of the secret before.
    previous: Option<Mac>,
    algorithm: Algorithm,
}

impl Verifier {
    /// A verifier that takes this algorithm and no other.
    pub fn new(secret: &Secret, algorithm: Algorithm) -> Verifier {
        Verifier {
            mac: Mac::new(secret, algorithm),
            previous: None,
            algorithm,
        }
    }

    /// The same, which takes what the previous secret has signed too.
    #[must_use]
    pub fn or_previous(self, secret: Option<&Secret>) -> Verifier {
        let previous = secret.map(|secret| Mac::new(secret, self.algorithm));
        Verifier { previous, ..self }
    }

    /// Checks form, algorithm and signature. The times are checked with the claims.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::Algorithm`] or [`TokenError::Signature`].
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        self.check_header(&decode(header)?)?;
        match self.is_signed(signed.as_bytes(), &decode(signature)?) {
            true => Ok(Verified(decode(claims)?)),
            false => Err(TokenError::Signature),
        }
    }

    /// The current secret first: but for a rotation it is the only one.
    fn is_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let previous = || self.previous.as_ref();
        self.mac.verifies(text, signature)
            || previous().is_some_and(|mac| mac.verifies(text, signature))
    }

    fn check_header(&self, header: &[u8]) -> Result<(), TokenError> {
        if json::is_too_deep(header) {
            return Err(TokenError::Malformed);
        }
        let jose: Jose = read_object(header).ok_or(TokenError::Malformed)?;
        match jose.alg == self.algorithm.name() && !jose.crit {
            true => Ok(()),
            false => Err(TokenError::Algorithm),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Verifier({}, ***)", self.algorithm.name())
    }
}

impl Verified {
    /// Reads the claims, if the token is valid at this moment (RFC 7519 §4.1.4, §4.1.5).
    ///
    /// # Errors
    /// [`TokenError::Claims`] or [`TokenError::TooDeep`] when they can't be read;
    /// [`TokenError::Expired`] or [`TokenError::NotYetValid`].
    pub fn claims(&self, now: SystemTime) -> Result<Claims<'_>, TokenError> {
        if json::is_too_deep(&self.0) {
            return Err(TokenError::TooDeep);
        }
        let claims: Claims = read_object(&self.0).ok_or(TokenError::Claims)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let expires = seconds(claims.exp)?.unwrap_or(f64::INFINITY);
        let begins = seconds(claims.nbf)?.unwrap_or(f64::NEG_INFINITY);
        // The second that `exp` names is still good; `nbf` is compared to the instant.
        match () {
            () if expires < now.as_secs() as f64 => Err(TokenError::Expired),
            () if begins > now.as_secs_f64() => Err(TokenError::NotYetValid),
            () => Ok(claims),
        }
    }
}

/// Signs claims; for the demonstration, where the server plays the application too.
///
/// # Errors
/// When the claims can't be written as JSON.
pub fn sign(
    claims: &impl Serialize,
    secret: &Secret,
    algorithm: Algorithm,
) -> Result<String, jsonwebtoken::errors::Error> {
    provider::install();
    let key = EncodingKey::from_secret(secret.bytes());
    jsonwebtoken::encode(&Header::new(algorithm.into()), claims, &key)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

fn read_object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    let object = json::is_object(text).then(|| serde_json::from_slice(text).ok());
    object.flatten()
}

/// A NumericDate (RFC 7519 §2), integer or not; `null` is as good as absent.
fn seconds(claim: Option<&RawValue>) -> Result<Option<f64>, TokenError> {
    match claim {
        None => Ok(None),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| TokenError::Claims),
    }
}

/// One of a token's parts, decoded; nothing is checked.
pub fn part(part: &str) -> Option<Vec<u8>> {
    decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000;

    fn secret() -> Secret {
        Secret::new(b"0123456789abcdef0123456789abcdef".to_vec())
    }

    fn signed(claims: &serde_json::Value, algorithm: Algorithm) -> String {
        sign(claims, &secret(), algorithm).unwrap()
    }

    fn valid_at(claims: serde_json::Value, millis: u64) -> bool {
        let token = signed(&claims, Algorithm::HS512);
        let verified = Verifier::new(&secret(), Algorithm::HS512)
            .verify(&token)
            .unwrap();
        verified
            .claims(UNIX_EPOCH + Duration::from_millis(millis))
            .is_ok()
    }

    #[test]
    fn only_the_configured_algorithm_is_taken() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&json!({"channel": "a"}), algorithm);
            for other in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let verdict = Verifier::new(&secret(), other).verify(&token);
                assert_eq!(verdict.is_ok(), algorithm == other);
            }
        }
    }

    #[test]
    fn what_the_previous_secret_has_signed_is_taken_if_there_is_one() {
        let algorithm = Algorithm::HS512;
        let next = Secret::new(vec![b'n'; 64]);
        let old = signed(&json!({}), algorithm);
        let new = sign(&json!({}), &next, algorithm).unwrap();
        let other = sign(&json!({}), &Secret::new(vec![b'o'; 64]), algorithm).unwrap();
        let verifier = Verifier::new(&next, algorithm);
        assert!(verifier.verify(&new).is_ok() && verifier.verify(&old).is_err());
        let verifier = verifier.or_previous(Some(&secret()));
        assert!(verifier.verify(&new).is_ok() && verifier.verify(&old).is_ok());
        assert!(verifier.verify(&other).is_err());
        let as_256 = signed(&json!({}), Algorithm::HS256);
        assert!(verifier.verify(&as_256).is_err());
    }

    #[test]
    fn a_token_without_a_signature_is_refused() {
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode("{}");
        for token in ["", ".", "..", "a.b.c", &none] {
            let rejection = verifier.verify(token).unwrap_err();
            assert_eq!(rejection, TokenError::Malformed, "{token}");
        }
        let unsigned = verifier.verify(&format!("{none}.{claims}.")).unwrap_err();
        assert_eq!(unsigned, TokenError::Algorithm);
        let ours = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#);
        let unsigned = verifier.verify(&format!("{ours}.{claims}.")).unwrap_err();
        assert_eq!(unsigned, TokenError::Signature);
    }

    #[test]
    fn what_is_wrong_with_claims_is_known() {
        let rejection = |claims: serde_json::Value| {
            let token = signed(&claims, Algorithm::HS512);
            let verifier = Verifier::new(&secret(), Algorithm::HS512);
            let verified = verifier.verify(&token).unwrap();
            verified.claims(UNIX_EPOCH + Duration::from_secs(NOW)).err()
        };
        assert_eq!(rejection(json!({"exp": NOW, "nbf": NOW})), None);
        for (claims, expected) in [
            (json!({"exp": NOW - 1}), TokenError::Expired),
            (json!({"exp": NOW - 1, "nbf": NOW + 1}), TokenError::Expired),
            (json!({"nbf": NOW + 1}), TokenError::NotYetValid),
            (json!({"exp": "soon"}), TokenError::Claims),
            (json!([]), TokenError::Claims),
        ] {
            assert_eq!(rejection(claims), Some(expected));
        }
    }

    fn rejection_of_header(header: &str) -> Option<TokenError> {
        let header = URL_SAFE_NO_PAD.encode(header);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{}"));
        let key = EncodingKey::from_secret(secret().bytes());
        let algorithm = jsonwebtoken::Algorithm::HS512;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        verifier.verify(&format!("{signed}.{signature}")).err()
    }

    #[test]
    fn an_extension_that_must_be_understood_is_refused() {
        for crit in [r#"["b64"]"#, "[]", "null"] {
            let header = format!(r#"{{"alg":"HS512","crit":{crit},"b64":false}}"#);
            let rejection = rejection_of_header(&header);
            assert_eq!(rejection, Some(TokenError::Algorithm), "{crit}");
        }
    }

    #[test]
    fn a_header_may_be_nested_as_deep_as_claims() {
        let nested = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            rejection_of_header(&format!(r#"{{"alg":"HS512","x":{open}{close}}}"#))
        };
        assert_eq!(nested(127), None);
        assert_eq!(nested(128), Some(TokenError::Malformed));
    }

    #[test]
    fn the_second_that_exp_names_is_still_good() {
        assert!(valid_at(json!({"exp": NOW}), NOW * 1000 + 999));
        assert!(!valid_at(json!({"exp": NOW - 1}), NOW * 1000));
        assert!(!valid_at(json!({"exp": NOW as f64 - 0.5}), NOW * 1000));
        assert!(valid_at(json!({"exp": NOW as f64 + 0.5}), NOW * 1000 + 900));
    }

    #[test]
    fn nbf_is_compared_to_the_instant() {
        assert!(valid_at(json!({"nbf": NOW}), NOW * 1000));
        assert!(!valid_at(json!({"nbf": NOW + 1}), NOW * 1000 + 999));
        assert!(valid_at(json!({"nbf": NOW as f64 + 0.5}), NOW * 1000 + 600));
        assert!(!valid_at(
            json!({"nbf": NOW as f64 + 0.5}),
            NOW * 1000 + 400
        ));
    }

    #[test]
    fn times_that_are_not_numbers_are_refused() {
        assert!(!valid_at(json!({"exp": "tomorrow"}), 0));
        assert!(!valid_at(json!({"nbf": []}), 0));
        assert!(valid_at(json!({"exp": null, "nbf": null}), NOW * 1000));
    }

    #[test]
    fn header_and_claims_are_objects() {
        let key = EncodingKey::from_secret(secret().bytes());
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        let is_taken = |header: &str, claims: &str| {
            let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
            let signed = parts.join(".");
            let algorithm = jsonwebtoken::Algorithm::HS512;
            let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
            let verified = verifier.verify(&format!("{signed}.{signature}"));
            verified.is_ok_and(|verified| verified.claims(UNIX_EPOCH).is_ok())
        };
        let good = r#" {"alg":"HS512"} "#;
        assert!(is_taken(good, " {} "));
        assert!(!is_taken(r#"["HS512",null]"#, "{}"));
        for claims in ["[1,2,3,4,5]", " [null,null,1,2,3]", r#""x""#, "null", ""] {
            assert!(!is_taken(good, claims), "{claims}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", secret()), "***");
        let verifier = Verifier::new(&secret(), Algorithm::HS256);
        assert_eq!(format!("{verifier:?}"), "Verifier(HS256, ***)");
    }
}
