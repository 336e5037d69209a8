//! The opening handshake, seen from the server (RFC 6455 §4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tiny_http::{HTTPVersion, Method};
use tungstenite::handshake::derive_accept_key;

use crate::config::Origins;
use crate::http::{Head, HttpError, Response};

/// A decoded `Sec-WebSocket-Key` has so many bytes (RFC 6455 §4.2.1).
const KEY_SIZE: usize = 16;

/// Checks a request to subscribe; the reply switches protocols.
///
/// # Errors
/// The reply that turns it down: 400, 403 or 426.
pub fn accept(head: &Head, origins: Option<&Origins>) -> Result<Response, Response> {
    let asks = head.method == Method::Get
        && head.version != HTTPVersion(1, 0)
        && head.has_token("Upgrade", "websocket");
    if !asks {
        let sentence = "this is a WebSocket endpoint; connect with ws:// or wss://";
        return Err(HttpError::new(426, sentence).into());
    }
    check_version(head)?;
    if !head.has_token("Connection", "Upgrade") {
        return Err(HttpError::new(400, "Connection does not say Upgrade").into());
    }
    let key = find_key(head)?;
    check_origin(head, origins)?;
    Ok(Response::switching_protocols(&derive_accept_key(
        key.as_bytes(),
    )))
}

fn check_version(head: &Head) -> Result<(), Response> {
    let mut versions = head.values("Sec-WebSocket-Version");
    match (versions.next(), versions.next()) {
        (Some("13"), None) => Ok(()),
        (None, _) => Err(HttpError::new(400, "Sec-WebSocket-Version is missing").into()),
        _ => {
            let refusal = HttpError::new(426, "the only Sec-WebSocket-Version known is 13");
            Err(Response::from(refusal).with("Sec-WebSocket-Version", "13"))
        }
    }
}

fn find_key(head: &Head) -> Result<&str, HttpError> {
    let mut keys = head.values("Sec-WebSocket-Key");
    let Some(key) = keys.next() else {
        return Err(HttpError::new(400, "Sec-WebSocket-Key is missing"));
    };
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == KEY_SIZE && keys.next().is_none() => Ok(key),
        Ok(_) | Err(_) => Err(HttpError::new(
            400,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        )),
    }
}

fn check_origin(head: &Head, origins: Option<&Origins>) -> Result<(), HttpError> {
    match foreign_origin(head, origins) {
        None => Ok(()),
        Some(_) => Err(HttpError::new(
            403,
            "Origin is not allowed; see BIFROST_ALLOWED_ORIGINS",
        )),
    }
}

/// The first origin of a request that is not allowed.
pub fn foreign_origin<'a>(head: &'a Head, origins: Option<&Origins>) -> Option<&'a str> {
    head.values("Origin")
        .find(|origin| origins.is_some_and(|origins| !origins.allow(origin)))
}
