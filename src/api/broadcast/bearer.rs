//! Bare messages, with a token in the header that says to which channels they may go
//! (RFC 6750 §2.1): `{"channel":"…","message":{…}}`, or an array of such objects.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Broadcast, Refused, not_json, reject};
use crate::auth::Verifier;
use crate::auth::publish_scope::Grant;
use crate::http::{Head, HttpError, Request};
use crate::protocol::json;

/// Most messages in one request.
const MAX_MESSAGES: usize = 100;

/// The challenges of RFC 6750 §3: to who shows no token, a bad one, one for other channels.
const NO_TOKEN: &str = r#"Bearer realm="bifrost""#;
const BAD_TOKEN: &str = r#"Bearer realm="bifrost", error="invalid_token""#;
const OTHER_CHANNELS: &str = r#"Bearer realm="bifrost", error="insufficient_scope""#;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// Reads the messages of a body, if the token in the header allows them all.
///
/// # Errors
/// 400, 401 or 403; `otherwise` when the header has no token.
pub fn read(
    request: &Request,
    verifier: &Verifier,
    otherwise: HttpError,
) -> Result<Vec<Broadcast>, Refused> {
    let body = request.body.trim_ascii();
    let Some(token) = bearer(&request.head)? else {
        return Err(match is_for_us(body) {
            true => no_token(),
            false => otherwise,
        }
        .into());
    };
    let bad = |rejection| {
        let Refused { refusal, token } = reject(rejection, 401);
        Refused {
            refusal: refusal.with_challenge(BAD_TOKEN),
            token,
        }
    };
    let verified = verifier.verify(token).map_err(bad)?;
    let claims = verified.claims(SystemTime::now()).map_err(bad)?;
    let grant = Grant::read(claims.broadcast)
        .map_err(|fault| HttpError::new(403, fault.to_string()).with_challenge(OTHER_CHANNELS))?;
    let broadcasts = parse(body)?;
    match broadcasts.iter().find(|one| !grant.allows(&one.channel)) {
        None => Ok(broadcasts),
        Some(Broadcast { channel, .. }) => {
            let sentence = format!("token does not allow channel {channel:?}");
            Err(HttpError::new(403, sentence)
                .with_challenge(OTHER_CHANNELS)
                .into())
        }
    }
}

/// The token in the header, if there is one; of another scheme, there is none.
fn bearer(head: &Head) -> Result<Option<&str>, HttpError> {
    let mut credentials = head.values("Authorization");
    let Some(first) = credentials.next() else {
        return Ok(None);
    };
    if credentials.next().is_some() {
        let sentence = "Authorization is there more than once; send one";
        return Err(HttpError::new(400, sentence));
    }
    let (scheme, token) = first.split_once(' ').unwrap_or((first, ""));
    Ok(scheme
        .eq_ignore_ascii_case("Bearer")
        .then(|| token.trim_matches(' '))
        .filter(|token| !token.is_empty()))
}

fn no_token() -> HttpError {
    let sentence =
        r#"no token allows this; send Authorization: Bearer <JWT>, or {"token":"<JWT>"}"#;
    HttpError::new(401, sentence).with_challenge(NO_TOKEN)
}

/// Whether a body is JSON, and messages or meant to be.
fn is_for_us(body: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<&RawValue>(body).is_ok();
    is_json && (is_list(body) || json::is_object(body) && is_message(body))
}

/// Whether an object is a message and its channel, or a part of that.
fn is_message(object: &[u8]) -> bool {
    match serde_json::from_slice(object) {
        Ok(Item { channel, message }) => channel.is_some() || message.is_some(),
        Err(_) => true, // one of them is there more than once
    }
}

/// Whether a body is an array of objects, by its beginning.
pub fn is_list(body: &[u8]) -> bool {
    body.strip_prefix(b"[").is_some_and(json::is_object)
}

fn parse(body: &[u8]) -> Result<Vec<Broadcast>, HttpError> {
    let refuse = |sentence: String| HttpError::new(400, sentence);
    if json::is_too_deep(body) {
        let limit = json::MAX_DEPTH;
        return Err(refuse(format!("body is nested over {limit} levels deep")));
    }
    match body.first() {
        Some(b'[') => parse_list(body),
        Some(b'{') => Ok(vec![parse_item(body)?]),
        None => Err(refuse(
            r#"body is empty; send {"channel":"…","message":{…}}"#.into(),
        )),
        Some(_) => Err(match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => refuse(
                r#"body is neither a JSON object nor an array; send {"channel":"…","message":{…}}"#
                    .into(),
            ),
            Err(error) => not_json(&error),
        }),
    }
}

fn parse_list(body: &[u8]) -> Result<Vec<Broadcast>, HttpError> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let count = items.len();
    if !(1..=MAX_MESSAGES).contains(&count) {
        return Err(HttpError::new(
            400,
            format!("body has {count} messages; send 1 to {MAX_MESSAGES}"),
        ));
    }
    let numbered = (1..).zip(items);
    numbered
        .map(|(number, item)| {
            parse_item(item.get().as_bytes()).map_err(|refusal| {
                let sentence = refusal.sentence;
                HttpError::new(400, format!("message {number} of {count}: {sentence}"))
            })
        })
        .collect()
}

fn parse_item(text: &[u8]) -> Result<Broadcast, HttpError> {
    let refuse = |sentence: String| HttpError::new(400, sentence);
    if !json::is_object(text) {
        return Err(refuse(
            r#"it is not an object; send {"channel":"…","message":{…}}"#.into(),
        ));
    }
    let item: Item = serde_json::from_slice(text).map_err(|error| match error.is_data() {
        true => refuse("channel or message is there more than once".into()),
        false => not_json(&error),
    })?;
    Broadcast::new(item.channel, item.message).map_err(refuse)
}
