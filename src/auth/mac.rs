//! The key of a token's signature: HMAC with SHA-2 (RFC 2104, RFC 7518 §3.2).
//!
//! Hashing the key took a third of the time to verify a broadcast, so it is hashed once, and each
//! token starts from a copy of that state.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha384, Sha512};

/// The secret that the server shares with the application. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// The bytes themselves, for signing and verifying only.
    pub fn bytes(&self) -> &[u8] {
        &self.0
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
    /// As a token's header spells it.
    pub fn name(self) -> &'static str {
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

/// A key that is hashed already, ready to verify and sign.
#[derive(Clone)]
pub enum Mac {
    /// See [`Algorithm::HS256`].
    HS256(Hmac<Sha256>),
    /// See [`Algorithm::HS384`].
    HS384(Hmac<Sha384>),
    /// See [`Algorithm::HS512`].
    HS512(Hmac<Sha512>),
}

impl Mac {
    /// Hashes the key.
    pub fn new(secret: &Secret, algorithm: Algorithm) -> Mac {
        const ANY_LENGTH: &str = "HMAC takes keys of every length";
        let key = secret.bytes();
        match algorithm {
            Algorithm::HS256 => Mac::HS256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HS384 => Mac::HS384(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HS512 => Mac::HS512(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
        }
    }

    /// The signature of `text`.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Mac::HS256(key) => key
                .clone()
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec(),
            Mac::HS384(key) => key
                .clone()
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec(),
            Mac::HS512(key) => key
                .clone()
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    /// Whether `signature` is that of `text`, compared in constant time.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Mac::HS256(key) => key.clone().chain_update(text).verify_slice(signature),
            Mac::HS384(key) => key.clone().chain_update(text).verify_slice(signature),
            Mac::HS512(key) => key.clone().chain_update(text).verify_slice(signature),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use jsonwebtoken::crypto::rust_crypto;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_provider_of_jsonwebtoken(
            key in prop::collection::vec(any::<u8>(), 0..300),
            text in prop::collection::vec(any::<u8>(), 0..300),
            flipped in any::<prop::sample::Index>(),
        ) {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let provider = &rust_crypto::DEFAULT_PROVIDER;
                let key = EncodingKey::from_secret(&key);
                let signer = (provider.signer_factory)(&algorithm.into(), &key).unwrap();
                let mut signature = signer.sign(&text);
                let mac = Mac::new(&Secret::new(key.as_bytes().to_vec()), algorithm);
                prop_assert_eq!(&mac.sign(&text), &signature);
                prop_assert!(mac.verifies(&text, &signature));
                prop_assert!(!mac.verifies(&text, &signature[1..]));
                let flipped = flipped.index(signature.len());
                signature[flipped] ^= 1;
                prop_assert!(!mac.verifies(&text, &signature));
            }
        }
    }
}
