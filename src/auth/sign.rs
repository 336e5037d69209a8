//! Signing claims, for the commands and the demonstration, which sign as an application does.

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use super::mac::{Algorithm, Secret};
use super::provider;

/// Signs claims with a secret; the result is a JWT in compact form (RFC 7515 §3.1).
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
