//! A message inside a token: `{"token":"<JWT>"}`, or `token=<JWT>` as a form.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{BroadcastError, TokenPlace, not_json, reject_token, too_deep};
use super::publication::{Publication, is_list};
use crate::auth::Verifier;
use crate::http::{HttpError, Request};
use crate::protocol::json::{self, Text};

/// Why there is no token in a body.
#[derive(Debug)]
pub struct NoToken {
    /// The error, unless the header has a token.
    pub error: HttpError,
    /// Whether the error stands even if the header has a token.
    pub is_final: bool,
}

impl NoToken {
    /// The body has no token; the header may have one.
    fn in_body(message: impl Into<String>) -> NoToken {
        NoToken {
            error: HttpError::bad_request(message),
            is_final: false,
        }
    }

    /// The body is wrong, whatever the header has.
    fn in_request(error: HttpError) -> NoToken {
        NoToken {
            error,
            is_final: true,
        }
    }
}

/// Reads the one message that a token is valid for.
///
/// # Errors
/// 400.
pub fn read(token: &str, verifier: &Verifier) -> Result<Publication, BroadcastError> {
    let reject = |error| reject_token(error, TokenPlace::Body);
    let verified = verifier.verify(token).map_err(reject)?;
    let claims = verified.claims(SystemTime::now()).map_err(reject)?;
    Publication::new(claims.channel, claims.message)
        .map_err(|message| HttpError::bad_request(message).into())
}

/// The token in a JSON body; or, when the body is declared a form and is not a JSON object, in the
/// form.
///
/// # Errors
/// Why there is none.
pub fn find_token(request: &Request) -> Result<Cow<'_, str>, NoToken> {
    let body = request.body.trim_ascii();
    match body.first() {
        None => Err(NoToken::in_body(r#"body is empty; send {"token":"<JWT>"}"#)),
        Some(b'{') => token_in_json(body),
        Some(_) if is_list(body) => Err(no_object(body)), // curl declares every body a form
        Some(_) if is_form(request) => token_in_form(body),
        Some(_) => Err(no_object(body)),
    }
}

fn token_in_json(body: &[u8]) -> Result<Cow<'_, str>, NoToken> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        token: Option<&'a RawValue>,
    }
    if json::is_too_deep(body) {
        return Err(NoToken::in_request(too_deep()));
    }
    let parsed = serde_json::from_slice(body);
    let Body { token } = parsed.map_err(|error: serde_json::Error| {
        if error.is_data() {
            NoToken::in_request(HttpError::bad_request("body has token more than once"))
        } else {
            no_json(&error)
        }
    })?;
    match token.map(|token| serde_json::from_str(token.get())) {
        Some(Ok(Text(token))) => Ok(token),
        Some(Err(_)) => Err(NoToken::in_request(HttpError::bad_request(
            "token is not a string",
        ))),
        None => Err(NoToken::in_body(
            r#"body has no token; send {"token":"<JWT>"}"#,
        )),
    }
}

fn token_in_form(body: &[u8]) -> Result<Cow<'_, str>, NoToken> {
    // A token is ASCII. Bytes that are not even UTF-8 would take three times as many, decoded.
    let is_text = |field: &&[u8]| std::str::from_utf8(field).is_ok();
    let fields = body.split(|&byte| byte == b'&').filter(is_text);
    let mut fields = fields.flat_map(form_urlencoded::parse);
    let token = fields
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token);
    token.ok_or_else(|| NoToken::in_body("form has no token; send token=<JWT>"))
}

fn is_form(request: &Request) -> bool {
    let content_type = request.head.header("Content-Type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Why a body that is not an object has no token.
fn no_object(body: &[u8]) -> NoToken {
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => NoToken::in_body(r#"body is not a JSON object; send {"token":"<JWT>"}"#),
        Err(error) => no_json(&error),
    }
}

fn no_json(error: &serde_json::Error) -> NoToken {
    NoToken {
        error: not_json(error),
        is_final: false,
    }
}
