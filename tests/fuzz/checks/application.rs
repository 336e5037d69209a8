//! The application, which shares the secret with the server and signs tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bifrost::auth::{Algorithm, Secret, Verifier};
use jsonwebtoken::{EncodingKey, crypto};

/// The secret, which is public and protects only generated input.
pub const SECRET: &str = "a-secret-that-everybody-knows-because-it-only-guards-made-up-input";
/// A valid token header.
pub const HEADER: &str = r#"{"alg":"HS512"}"#;

/// The verifier of the server.
pub fn verifier() -> Verifier {
    Verifier::new(&Secret::new(SECRET.into()), Algorithm::HS512)
}

/// A token with these bytes as header and claims, and a valid signature.
pub fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = signature(&signed);
    format!("{signed}.{signature}")
}

/// The only valid signature for the first two parts of a token.
pub fn signature(signed: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS512)
        .expect("a secret of bytes signs everything")
}
