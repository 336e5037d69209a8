//! Tokens: verifying, reading the claims, signing (RFC 7515, RFC 7519).
//!
//! The only file that knows JWT. jsonwebtoken does the cryptography; the three parts are
//! taken apart here, so that header and claims are parsed once and borrowed from one
//! buffer, the message keeps the application's own bytes, and time has no rounding.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, crypto};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json;

/// A secret shared with the application. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the secret's bytes as they are.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The HMAC that signs tokens (RFC 7518 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Algorithm, ()> {
        let all = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        all.into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(())
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
        match algorithm {
            Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
            Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Malformed, signed otherwise, expired or not yet valid: never told apart, so that
    /// nobody learns from the answer what a forgery still lacks.
    BadSignature,
    /// The claims are nested deeper than [`json::MAX_DEPTH`].
    TooDeep,
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
    /// What a subscriber may listen to.
    #[serde(borrow)]
    pub channels: Option<&'a RawValue>,
}

/// The parts of a JOSE header that decide (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Jose<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    /// Extensions that must be understood; none are (§4.1.11).
    crit: Option<IgnoredAny>,
}

/// Checks tokens against one secret and one algorithm.
pub struct Verifier {
    key: DecodingKey,
    algorithm: Algorithm,
}

impl Verifier {
    /// A verifier that takes this algorithm and no other.
    pub fn new(secret: &Secret, algorithm: Algorithm) -> Verifier {
        Verifier {
            key: DecodingKey::from_secret(&secret.0),
            algorithm,
        }
    }

    /// Checks form, algorithm and signature. The times are checked with the claims.
    ///
    /// # Errors
    /// [`Rejection::BadSignature`], whichever of them failed.
    pub fn verify(&self, token: &str) -> Result<Verified, Rejection> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejection::BadSignature)?;
        let (header, claims) = signed.split_once('.').ok_or(Rejection::BadSignature)?;
        self.check_header(&decode(header)?)?;
        match crypto::verify(
            signature,
            signed.as_bytes(),
            &self.key,
            self.algorithm.into(),
        ) {
            Ok(true) => Ok(Verified(decode(claims)?)),
            Ok(false) | Err(_) => Err(Rejection::BadSignature),
        }
    }

    fn check_header(&self, header: &[u8]) -> Result<(), Rejection> {
        match serde_json::from_slice::<Jose>(header) {
            Ok(jose) if jose.alg == self.algorithm.name() && jose.crit.is_none() => Ok(()),
            Ok(_) | Err(_) => Err(Rejection::BadSignature),
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
    /// [`Rejection::BadSignature`] when the claims are not an object or the time is outside
    /// `nbf` and `exp`; [`Rejection::TooDeep`] when they are nested too deep.
    pub fn claims(&self, now: SystemTime) -> Result<Claims<'_>, Rejection> {
        if json::depth(&self.0) > json::MAX_DEPTH {
            return Err(Rejection::TooDeep);
        }
        let claims: Claims = match self.0.first() {
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => serde_json::from_slice(&self.0).ok(),
            _ => None, // serde would also take an array for the struct
        }
        .ok_or(Rejection::BadSignature)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let expires = seconds(claims.exp)?.unwrap_or(f64::INFINITY);
        let begins = seconds(claims.nbf)?.unwrap_or(f64::NEG_INFINITY);
        // The second that `exp` names is still good; `nbf` is compared to the instant.
        if expires < now.as_secs() as f64 || begins > now.as_secs_f64() {
            return Err(Rejection::BadSignature);
        }
        Ok(claims)
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
    let key = EncodingKey::from_secret(&secret.0);
    jsonwebtoken::encode(&Header::new(algorithm.into()), claims, &key)
}

fn decode(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejection::BadSignature)
}

/// A NumericDate (RFC 7519 §2), integer or not; `null` is as good as absent.
fn seconds(claim: Option<&RawValue>) -> Result<Option<f64>, Rejection> {
    match claim {
        None => Ok(None),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| Rejection::BadSignature),
    }
}

/// One of a token's parts, decoded; nothing is checked.
pub fn part(part: &str) -> Option<Vec<u8>> {
    decode(part).ok()
}

impl Secret {
    /// Its bytes, for who looks for the mistake in how it was copied.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
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
    fn a_token_without_a_signature_is_refused() {
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode("{}");
        for token in ["", ".", "..", "a.b.c", &format!("{none}.{claims}."), &none] {
            assert_eq!(
                verifier.verify(token).unwrap_err(),
                Rejection::BadSignature,
                "{token}"
            );
        }
    }

    #[test]
    fn an_extension_that_must_be_understood_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","crit":["b64"],"b64":false}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{}"));
        let key = EncodingKey::from_secret(&secret().0);
        let algorithm = jsonwebtoken::Algorithm::HS512;
        let signature = crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        let verifier = Verifier::new(&secret(), Algorithm::HS512);
        assert!(verifier.verify(&format!("{signed}.{signature}")).is_err());
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
    fn claims_are_an_object() {
        for claims in [json!([1, 2, 3, 4, 5]), json!("x"), json!(null)] {
            assert!(!valid_at(claims, NOW * 1000));
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", secret()), "***");
        let verifier = Verifier::new(&secret(), Algorithm::HS256);
        assert_eq!(format!("{verifier:?}"), "Verifier(HS256, ***)");
    }
}
