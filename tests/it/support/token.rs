//! Signs tokens, valid ones and malformed ones.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;

use super::eventually;

/// 64 bytes: long enough that the server does not warn.
pub const SECRET: &str = "0123456789abcdef-only-for-tests-0123456789abcdef-only-for-tests!";

/// A token with the header `{"alg":"HS512","typ":"JWT"}` and these claims, byte for byte.
pub fn sign(claims: &str) -> String {
    sign_with(Algorithm::HS512, SECRET.as_bytes(), claims)
}

pub fn sign_with(algorithm: Algorithm, secret: &[u8], claims: &str) -> String {
    sign_parts(
        &format!(r#"{{"alg":"{algorithm:?}","typ":"JWT"}}"#),
        claims.as_bytes(),
        secret,
        algorithm,
    )
}

/// A token with this header, byte for byte, signed with `algorithm` whatever the header says.
pub fn sign_parts(header: &str, claims: &[u8], secret: &[u8], algorithm: Algorithm) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(signed.as_bytes(), &key, algorithm).expect("HMAC takes any key");
    format!("{signed}.{signature}")
}

/// The claims of a broadcast.
pub fn publish_claims(channel: &str, message: &str) -> String {
    format!(
        r#"{{"channel":{},"message":{message}}}"#,
        Value::from(channel)
    )
}

pub fn publisher(channel: &str, message: &str) -> String {
    sign(&publish_claims(channel, message))
}

/// The claims of a subscriber.
pub fn subscribe_claims<S: AsRef<str>>(channels: &[S]) -> String {
    let names: Vec<Value> = channels
        .iter()
        .map(|name| Value::from(name.as_ref()))
        .collect();
    format!(r#"{{"channels":{}}}"#, Value::from(names))
}

pub fn subscriber<S: AsRef<str>>(channels: &[S]) -> String {
    sign(&subscribe_claims(channels))
}

/// Seconds since 1970, as `exp` and `nbf` count them.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is after 1970")
        .as_secs()
}

/// Runs `attempt` again, for at most `DEADLINE`, until it begins and ends in the same second.
pub fn within_one_second<T>(mut attempt: impl FnMut(u64) -> T) -> T {
    eventually("an attempt within one second", || {
        let second = now();
        let result = attempt(second);
        (now() == second).then_some(result)
    })
}
