//! Verifying a token and reading its claims.
//!
//! Tokens are taken apart here rather than by jsonwebtoken, so that header and claims are parsed
//! once and borrowed from one buffer, the message keeps the application's own bytes, and times are
//! not rounded.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::AuthError;
use super::mac::{Algorithm, Mac, Secret};
use crate::protocol::json;

/// A token whose signature is valid: the JSON text of its claims.
#[derive(Debug)]
pub struct Verified(Vec<u8>);

/// The claims that the server reads, each as the application wrote it.
#[derive(Debug, Deserialize)]
pub struct Claims<'a> {
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
    /// The channel of a broadcast.
    #[serde(borrow)]
    pub channel: Option<&'a RawValue>,
    /// The message of a broadcast.
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    /// The channels that a publisher may send to, see [`super::PublishScope`].
    #[serde(borrow)]
    pub broadcast: Option<&'a RawValue>,
    /// The channels that a subscriber may listen to.
    #[serde(borrow)]
    pub channels: Option<&'a RawValue>,
}

/// The parts of a JOSE header that the server reads (RFC 7515 §4.1).
#[derive(Deserialize)]
pub struct JoseHeader<'a> {
    /// The algorithm, as it is written.
    #[serde(borrow)]
    pub alg: Cow<'a, str>,
    /// Whether it demands extensions that must be understood (§4.1.11); the server knows none.
    #[serde(default, deserialize_with = "json::is_given")]
    pub crit: bool,
}

/// Verifies tokens with one algorithm and one secret, or two while the secret is rotated.
pub struct Verifier {
    mac: Mac,
    /// The key of the previous secret.
    previous: Option<Mac>,
    algorithm: Algorithm,
}

impl Verifier {
    /// A verifier that accepts this algorithm and no other.
    pub fn new(secret: &Secret, algorithm: Algorithm) -> Verifier {
        Verifier {
            mac: Mac::new(secret, algorithm),
            previous: None,
            algorithm,
        }
    }

    /// The same verifier, which accepts tokens signed with the previous secret too.
    #[must_use]
    pub fn or_previous(self, secret: Option<&Secret>) -> Verifier {
        let previous = secret.map(|secret| Mac::new(secret, self.algorithm));
        Verifier { previous, ..self }
    }

    /// Checks form, algorithm and signature. The times are checked by [`Verified::claims`].
    ///
    /// # Errors
    /// [`AuthError::Malformed`], [`AuthError::Algorithm`] or [`AuthError::Signature`].
    pub fn verify(&self, token: &str) -> Result<Verified, AuthError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(AuthError::Malformed)?;
        self.check_header(&decode(header)?)?;
        if !self.is_signed(signed.as_bytes(), &decode(signature)?) {
            return Err(AuthError::Signature);
        }
        Ok(Verified(decode(claims)?))
    }

    /// Tries the current secret first: it is the only one but during a rotation.
    fn is_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let previous = || self.previous.as_ref();
        self.mac.verifies(text, signature)
            || previous().is_some_and(|mac| mac.verifies(text, signature))
    }

    fn check_header(&self, header: &[u8]) -> Result<(), AuthError> {
        if json::is_too_deep(header) {
            return Err(AuthError::Malformed);
        }
        let jose: JoseHeader = read_object(header).ok_or(AuthError::Malformed)?;
        if jose.alg != self.algorithm.name() || jose.crit {
            return Err(AuthError::Algorithm);
        }
        Ok(())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Verifier({}, ***)", self.algorithm.name())
    }
}

impl Verified {
    /// Reads the claims, if the token is valid at `now` (RFC 7519 §4.1.4, §4.1.5).
    ///
    /// # Errors
    /// [`AuthError::Claims`] or [`AuthError::TooDeep`] when they can't be read;
    /// [`AuthError::Expired`] or [`AuthError::NotYetValid`].
    pub fn claims(&self, now: SystemTime) -> Result<Claims<'_>, AuthError> {
        if json::is_too_deep(&self.0) {
            return Err(AuthError::TooDeep);
        }
        let claims: Claims = read_object(&self.0).ok_or(AuthError::Claims)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let expires = seconds(claims.exp)?.unwrap_or(f64::INFINITY);
        let begins = seconds(claims.nbf)?.unwrap_or(f64::NEG_INFINITY);
        // The second that `exp` names is still good; `nbf` is compared to the instant.
        if expires < now.as_secs() as f64 {
            Err(AuthError::Expired)
        } else if begins > now.as_secs_f64() {
            Err(AuthError::NotYetValid)
        } else {
            Ok(claims)
        }
    }

    /// Whose token it is (RFC 7519 §4.1.2), if `sub` is there once and a string. It is read by
    /// itself: whatever it is, the other claims hold.
    pub fn subject(&self) -> Option<String> {
        let Subject { sub } = read_object(&self.0)?;
        Some(sub.0.into_owned())
    }
}

/// The claim that says whose token it is.
#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    sub: json::Text<'a>,
}

fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::Malformed)
}

fn read_object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    let object = json::is_object(text).then(|| serde_json::from_slice(text).ok());
    object.flatten()
}

/// A NumericDate (RFC 7519 §2), integer or not; `null` is as good as absent.
fn seconds(claim: Option<&RawValue>) -> Result<Option<f64>, AuthError> {
    match claim {
        None => Ok(None),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| AuthError::Claims),
    }
}

/// One part of a token, decoded from base64url. Nothing else is checked.
pub fn decode_part(part: &str) -> Option<Vec<u8>> {
    decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::super::sign::sign;
    use super::*;
    use jsonwebtoken::EncodingKey;
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
    fn only_the_configured_algorithm_is_accepted() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&json!({"channel": "a"}), algorithm);
            for other in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let verified = Verifier::new(&secret(), other).verify(&token);
                assert_eq!(verified.is_ok(), algorithm == other);
            }
        }
    }

    #[test]
    fn the_subject_is_a_string_or_nothing() {
        for (claims, subject) in [
            (json!({"sub": "user:1"}), Some("user:1")),
            (json!({"sub": "a\"\n"}), Some("a\"\n")),
            (json!({"sub": ""}), Some("")),
            (json!({"sub": 1}), None),
            (json!({"sub": null}), None),
            (json!({}), None),
        ] {
            let verified = Verifier::new(&secret(), Algorithm::HS512)
                .verify(&signed(&claims, Algorithm::HS512))
                .unwrap();
            assert!(verified.claims(SystemTime::now()).is_ok());
            assert_eq!(verified.subject().as_deref(), subject);
        }
    }

    #[test]
    fn a_subject_that_is_given_twice_is_none_and_the_token_holds() {
        let verified = Verified(br#"{"sub":"a","sub":"b","channels":[]}"#.to_vec());
        assert!(verified.claims(SystemTime::now()).is_ok());
        assert_eq!(verified.subject(), None);
    }

    #[test]
    fn tokens_of_the_previous_secret_are_accepted_if_there_is_one() {
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
    fn a_token_without_a_signature_is_rejected() {
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode("{}");
        for token in ["", ".", "..", "a.b.c", &none] {
            let error = verifier.verify(token).unwrap_err();
            assert_eq!(error, AuthError::Malformed, "{token}");
        }
        let unsigned = verifier.verify(&format!("{none}.{claims}.")).unwrap_err();
        assert_eq!(unsigned, AuthError::Algorithm);
        let ours = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#);
        let unsigned = verifier.verify(&format!("{ours}.{claims}.")).unwrap_err();
        assert_eq!(unsigned, AuthError::Signature);
    }

    #[test]
    fn each_fault_of_the_claims_has_its_error() {
        let error = |claims: serde_json::Value| {
            let token = signed(&claims, Algorithm::HS512);
            let verifier = Verifier::new(&secret(), Algorithm::HS512);
            let verified = verifier.verify(&token).unwrap();
            verified.claims(UNIX_EPOCH + Duration::from_secs(NOW)).err()
        };
        assert_eq!(error(json!({"exp": NOW, "nbf": NOW})), None);
        for (claims, expected) in [
            (json!({"exp": NOW - 1}), AuthError::Expired),
            (json!({"exp": NOW - 1, "nbf": NOW + 1}), AuthError::Expired),
            (json!({"nbf": NOW + 1}), AuthError::NotYetValid),
            (json!({"exp": "soon"}), AuthError::Claims),
            (json!([]), AuthError::Claims),
        ] {
            assert_eq!(error(claims), Some(expected));
        }
    }

    fn error_of_header(header: &str) -> Option<AuthError> {
        let header = URL_SAFE_NO_PAD.encode(header);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{}"));
        let key = EncodingKey::from_secret(secret().bytes());
        let algorithm = jsonwebtoken::Algorithm::HS512;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        verifier.verify(&format!("{signed}.{signature}")).err()
    }

    #[test]
    fn a_header_with_crit_is_rejected() {
        for crit in [r#"["b64"]"#, "[]", "null"] {
            let header = format!(r#"{{"alg":"HS512","crit":{crit},"b64":false}}"#);
            let error = error_of_header(&header);
            assert_eq!(error, Some(AuthError::Algorithm), "{crit}");
        }
    }

    #[test]
    fn a_header_may_be_nested_as_deep_as_claims() {
        let nested = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            error_of_header(&format!(r#"{{"alg":"HS512","x":{open}{close}}}"#))
        };
        assert_eq!(nested(127), None);
        assert_eq!(nested(128), Some(AuthError::Malformed));
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
    fn times_that_are_not_numbers_are_rejected() {
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
