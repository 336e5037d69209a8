//! A message inside a token: `{"token":"<JWT>"}`, or `token=<JWT>` as a form.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Broadcast, Refused, bearer, not_json, reject};
use crate::auth::Verifier;
use crate::http::{HttpError, Request};
use crate::protocol::json::{self, Text};

/// Why there is no token in a body.
#[derive(Debug)]
pub struct NoToken {
    /// The answer, unless the header has a token.
    pub refusal: HttpError,
    /// Whether it is the answer even then.
    pub is_final: bool,
}

impl NoToken {
    fn here(sentence: impl Into<String>) -> NoToken {
        NoToken {
            refusal: HttpError::new(400, sentence),
            is_final: false,
        }
    }

    fn at_all(sentence: impl Into<String>) -> NoToken {
        NoToken {
            is_final: true,
            ..NoToken::here(sentence)
        }
    }
}

/// Reads the one message that a token is good for.
///
/// # Errors
/// A refusal with 400.
pub fn read(token: &str, verifier: &Verifier) -> Result<Broadcast, Refused> {
    let verified = verifier
        .verify(token)
        .map_err(|rejection| reject(rejection, 400))?;
    let claims = verified
        .claims(SystemTime::now())
        .map_err(|rejection| reject(rejection, 400))?;
    Broadcast::new(claims.channel, claims.message)
        .map_err(|sentence| HttpError::new(400, sentence).into())
}

/// The token in a JSON body; or, when the body is declared a form and is not a JSON
/// object, in the form.
///
/// # Errors
/// What the body lacks.
pub fn find_token(request: &Request) -> Result<Cow<'_, str>, NoToken> {
    let body = request.body.trim_ascii();
    match body.first() {
        None => Err(NoToken::here(r#"body is empty; send {"token":"<JWT>"}"#)),
        Some(b'{') => token_in_json(body),
        Some(_) if bearer::is_list(body) => Err(no_object(body)), // curl calls everything a form
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
        let limit = json::MAX_DEPTH;
        return Err(NoToken::at_all(format!(
            "body is nested over {limit} levels deep"
        )));
    }
    let body_with =
        serde_json::from_slice(body).map_err(|error: serde_json::Error| match error.is_data() {
            true => NoToken::at_all("body has token more than once"),
            false => no_json(&error),
        });
    let Body { token } = body_with?;
    match token.map(|token| serde_json::from_str(token.get())) {
        Some(Ok(Text(token))) => Ok(token),
        Some(Err(_)) => Err(NoToken::at_all("token is not a string")),
        None => Err(NoToken::here(
            r#"body has no token; send {"token":"<JWT>"}"#,
        )),
    }
}

fn token_in_form(body: &[u8]) -> Result<Cow<'_, str>, NoToken> {
    let mut fields = form_urlencoded::parse(body);
    let token = fields
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token);
    token.ok_or_else(|| NoToken::here("form has no token; send token=<JWT>"))
}

fn is_form(request: &Request) -> bool {
    let content_type = request.head.header("Content-Type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// What a body that is not an object lacks.
fn no_object(body: &[u8]) -> NoToken {
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => NoToken::here(r#"body is not a JSON object; send {"token":"<JWT>"}"#),
        Err(error) => no_json(&error),
    }
}

fn no_json(error: &serde_json::Error) -> NoToken {
    NoToken {
        refusal: not_json(error),
        is_final: false,
    }
}
