//! The opening handshake, seen from the server (RFC 6455 §4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::http::{Head, HttpError, Method, Origins, Response, Status, Version};
use crate::telemetry::labels::RejectReason;

/// The size of a decoded `Sec-WebSocket-Key`, in bytes (RFC 6455 §4.2.1).
const KEY_SIZE: usize = 16;

/// Why a handshake is rejected.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// It is not a valid handshake: 400 or 426.
    Invalid(HttpError),
    /// It asks for another version than 13: 426.
    Version,
    /// It comes from a page of this origin, which is not allowed: 403.
    Origin(String),
}

impl HandshakeError {
    /// The label under which it is counted.
    pub fn label(&self) -> RejectReason {
        match self {
            HandshakeError::Invalid(_) | HandshakeError::Version => RejectReason::Handshake,
            HandshakeError::Origin(_) => RejectReason::Origin,
        }
    }
}

impl From<HttpError> for HandshakeError {
    fn from(error: HttpError) -> HandshakeError {
        HandshakeError::Invalid(error)
    }
}

impl From<HandshakeError> for Response {
    fn from(error: HandshakeError) -> Response {
        match error {
            HandshakeError::Invalid(error) => error.into(),
            HandshakeError::Version => {
                let message = "the only Sec-WebSocket-Version known is 13";
                let error = HttpError::new(Status::UpgradeRequired, message);
                Response::from(error).with("Sec-WebSocket-Version", "13")
            }
            HandshakeError::Origin(_) => {
                let message = "Origin is not allowed; see BIFROST_ALLOWED_ORIGINS";
                HttpError::new(Status::Forbidden, message).into()
            }
        }
    }
}

/// Checks a handshake; the response accepts it.
///
/// # Errors
/// Why it is rejected.
pub fn accept(head: &Head, origins: Option<&Origins>) -> Result<Response, HandshakeError> {
    let asks = head.method == Method::Get
        && head.version == Version::Http11
        && head.has_token("Upgrade", "websocket");
    if !asks {
        let message = "this is a WebSocket endpoint; connect with ws:// or wss://";
        return Err(HttpError::new(Status::UpgradeRequired, message).into());
    }
    check_version(head)?;
    if !head.has_token("Connection", "Upgrade") {
        return Err(HttpError::bad_request("Connection does not say Upgrade").into());
    }
    let key = find_key(head)?;
    check_origins(head, origins)?;
    let accept_key = derive_accept_key(key.as_bytes());
    Ok(Response::switching_protocols(&accept_key))
}

fn check_version(head: &Head) -> Result<(), HandshakeError> {
    let mut versions = head.values("Sec-WebSocket-Version");
    match (versions.next(), versions.next()) {
        (Some("13"), None) => Ok(()),
        (None, _) => Err(HttpError::bad_request("Sec-WebSocket-Version is missing").into()),
        _ => Err(HandshakeError::Version),
    }
}

fn find_key(head: &Head) -> Result<&str, HttpError> {
    let mut keys = head.values("Sec-WebSocket-Key");
    let Some(key) = keys.next() else {
        return Err(HttpError::bad_request("Sec-WebSocket-Key is missing"));
    };
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == KEY_SIZE && keys.next().is_none() => Ok(key),
        Ok(_) | Err(_) => Err(HttpError::bad_request(
            "Sec-WebSocket-Key is not 16 bytes in base64",
        )),
    }
}

/// A request without `Origin` is allowed; of several, each has to be.
fn check_origins(head: &Head, allowed: Option<&Origins>) -> Result<(), HandshakeError> {
    let is_foreign = |origin: &&str| allowed.is_some_and(|allowed| !allowed.allow(origin));
    match head.values("Origin").find(is_foreign) {
        None => Ok(()),
        Some(origin) => Err(HandshakeError::Origin(origin.to_owned())),
    }
}
