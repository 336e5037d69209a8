//! Token verification: the server accepts exactly those tokens that an independent implementation
//! of RFC 7515 and RFC 7519 accepts.
//!
//! An input with a line end is a header and, after it, claims; both are signed. An input without
//! one is a whole token, whose signature can't be valid without the secret.

use std::time::{Duration, UNIX_EPOCH};

use super::application;
use super::json::{self, Object};

/// Times of verification, in seconds since 1970.
const TIMES: [f64; 4] = [0.0, 1_700_000_000.0, 1_700_000_000.5, 4_102_444_800.0];
/// Claims that the server reads, each of which may occur once.
const CLAIMS: [&str; 6] = ["exp", "nbf", "sub", "channel", "message", "channels"];

/// Checks one input.
pub fn check(data: &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => check_signed(&data[..end], &data[end + 1..]),
        None => check_text(&String::from_utf8_lossy(data)),
    }
}

fn check_text(token: &str) {
    if application::verifier().verify(token).is_ok() {
        let (signed, signature) = token.rsplit_once('.').expect("a token has three parts");
        assert_eq!(
            signature,
            application::signature(signed),
            "a forgery: {token}"
        );
    }
}

fn check_signed(header: &[u8], claims: &[u8]) {
    let token = application::sign(header, claims);
    let outcome = application::verifier().verify(&token);
    if let Ok(header) = std::str::from_utf8(header) {
        assert_eq!(outcome.is_ok(), is_valid_header(header), "{header:?}");
    }
    let (Ok(verified), Ok(text)) = (outcome, std::str::from_utf8(claims)) else {
        return;
    };
    for time in TIMES {
        let claims = verified.claims(UNIX_EPOCH + Duration::from_secs_f64(time));
        assert_eq!(
            claims.is_ok(),
            are_good_claims(text, time),
            "{text:?} at {time}"
        );
        let (Ok(claims), Some(object)) = (claims, Object::read(text)) else {
            continue;
        };
        assert_eq!(claims.channel.map(|raw| raw.get()), object.value("channel"));
        assert_eq!(claims.message.map(|raw| raw.get()), object.value("message"));
        assert_eq!(
            claims.channels.map(|raw| raw.get()),
            object.value("channels")
        );
    }
}

/// Whether a header is valid (RFC 7515 §4.1.1, §4.1.11).
fn is_valid_header(header: &str) -> bool {
    let Some(object) = Object::read(header) else {
        return false;
    };
    let is_expected = object.string("alg").as_deref() == Some("HS512");
    is_expected && !object.has("crit") && !json::is_too_deep(header)
}

/// Whether claims are valid at this time (RFC 7519 §4.1.4, §4.1.5).
pub fn are_good_claims(claims: &str, time: f64) -> bool {
    let Some(object) = Object::read(claims) else {
        return false;
    };
    if json::is_too_deep(claims) || object.repeats_any(&CLAIMS) {
        return false;
    }
    let holds = |key, is_within: fn(f64, f64) -> bool| match object.value(key) {
        Some(text) => serde_json::from_str(text).is_ok_and(|limit| is_within(limit, time)),
        None => true,
    };
    holds("exp", |limit, time| limit >= time.floor()) && holds("nbf", |limit, time| limit <= time)
}
