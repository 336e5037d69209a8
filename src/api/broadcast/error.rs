//! Why a broadcast is not sent, and with which status that is answered.

use crate::auth::AuthError;
use crate::http::{HttpError, Status};
use crate::protocol::limits::MAX_JSON_DEPTH;
use crate::telemetry::counters;

/// The challenges of RFC 6750 §3: without a token, with an invalid one, with one whose scope does
/// not cover the channel.
const NO_TOKEN: &str = r#"Bearer realm="bifrost""#;
const INVALID_TOKEN: &str = r#"Bearer realm="bifrost", error="invalid_token""#;
const INSUFFICIENT_SCOPE: &str = r#"Bearer realm="bifrost", error="insufficient_scope""#;

/// Why a broadcast is not sent.
#[derive(Debug)]
pub struct BroadcastError {
    /// What the sender is told.
    pub http: HttpError,
    /// What is wrong with the token, if that is the reason; only for the log.
    pub auth: Option<AuthError>,
}

impl From<HttpError> for BroadcastError {
    fn from(http: HttpError) -> BroadcastError {
        BroadcastError { http, auth: None }
    }
}

/// Where the token of a broadcast is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPlace {
    /// In the body: a token that is one message.
    Body,
    /// In the header: a publisher's token.
    Header,
}

/// Counts a rejected token, and finds its status:
///
/// | error | in the body | in the header |
/// | --- | --- | --- |
/// | no scope, or an invalid one | – | 403 |
/// | any other | 400 | 401 |
pub fn reject_token(error: AuthError, place: TokenPlace) -> BroadcastError {
    if let Some(label) = error.label() {
        counters::AUTH_FAILURES.add_one(label);
    }
    let http = match (error, place) {
        (AuthError::NoScope | AuthError::InvalidScope, _) => out_of_scope(error.to_string()),
        (_, TokenPlace::Body) => HttpError::bad_request(message(error)),
        (_, TokenPlace::Header) => {
            HttpError::new(Status::Unauthorized, message(error)).with_challenge(INVALID_TOKEN)
        }
    };
    BroadcastError {
        http,
        auth: Some(error),
    }
}

/// What the sender is told: the same for all errors but `TooDeep`, so that a forger learns nothing.
fn message(error: AuthError) -> String {
    match error {
        AuthError::TooDeep => format!("claims are nested over {MAX_JSON_DEPTH} levels deep"),
        _ => "Bad signature".into(),
    }
}

/// 403: the token does not allow what the message asks.
pub fn out_of_scope(message: String) -> HttpError {
    HttpError::new(Status::Forbidden, message).with_challenge(INSUFFICIENT_SCOPE)
}

/// 401: there is no token.
pub fn no_token() -> HttpError {
    let message = r#"no token allows this; send Authorization: Bearer <JWT>, or {"token":"<JWT>"}"#;
    HttpError::new(Status::Unauthorized, message).with_challenge(NO_TOKEN)
}

/// 400: the body is not JSON. Only the place is told: the parser's own words could repeat the text.
pub fn not_json(error: &serde_json::Error) -> HttpError {
    let (line, column) = (error.line(), error.column());
    HttpError::bad_request(format!("body is not JSON (line {line}, column {column})"))
}

/// 400: the body is nested too deep.
pub fn too_deep() -> HttpError {
    HttpError::bad_request(format!("body is nested over {MAX_JSON_DEPTH} levels deep"))
}
