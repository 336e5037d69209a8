//! Bare messages, with a token in the header whose scope allows their channels (RFC 6750 §2.1):
//! `{"channel":"…","message":{…}}`, or an array of such objects.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{
    BroadcastError, TokenPlace, no_token, not_json, out_of_scope, reject_token, too_deep,
};
use super::publication::{Publication, is_list};
use crate::auth::{PublishScope, Verifier};
use crate::http::{Head, HttpError, Request};
use crate::protocol::json::{self, Items};
use crate::protocol::limits::MAX_MESSAGES;

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
/// 400, 401 or 403. Without a token in the header, 401 for bare messages, else `otherwise`.
pub fn read(
    request: &Request,
    verifier: &Verifier,
    otherwise: HttpError,
) -> Result<Vec<Publication>, BroadcastError> {
    let body = request.body.trim_ascii();
    let Some(token) = bearer(&request.head)? else {
        let error = if is_bare(body) { no_token() } else { otherwise };
        return Err(error.into());
    };
    let reject = |error| reject_token(error, TokenPlace::Header);
    let verified = verifier.verify(token).map_err(reject)?;
    let claims = verified.claims(SystemTime::now()).map_err(reject)?;
    let scope = PublishScope::read(claims.broadcast).map_err(reject)?;
    let publications = parse(body)?;
    match publications.iter().find(|one| !scope.allows(&one.channel)) {
        None => Ok(publications),
        Some(Publication { channel, .. }) => {
            Err(out_of_scope(format!("token does not allow channel {channel:?}")).into())
        }
    }
}

/// The token in the header, if there is one. Credentials of another scheme are none.
fn bearer(head: &Head) -> Result<Option<&str>, HttpError> {
    let mut credentials = head.values("Authorization");
    let Some(first) = credentials.next() else {
        return Ok(None);
    };
    if credentials.next().is_some() {
        let message = "Authorization is there more than once; send one";
        return Err(HttpError::bad_request(message));
    }
    let (scheme, token) = first.split_once(' ').unwrap_or((first, ""));
    Ok(scheme
        .eq_ignore_ascii_case("Bearer")
        .then(|| token.trim_matches(' '))
        .filter(|token| !token.is_empty()))
}

/// Whether a body is JSON in the form of bare messages, valid or not.
fn is_bare(body: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<&RawValue>(body).is_ok();
    is_json && (is_list(body) || json::is_object(body) && is_message(body))
}

/// Whether an object has a channel or a message.
fn is_message(object: &[u8]) -> bool {
    match serde_json::from_slice(object) {
        Ok(Item { channel, message }) => channel.is_some() || message.is_some(),
        Err(_) => true, // it has one of them more than once
    }
}

fn parse(body: &[u8]) -> Result<Vec<Publication>, HttpError> {
    if json::is_too_deep(body) {
        return Err(too_deep());
    }
    match body.first() {
        Some(b'[') => parse_list(body),
        Some(b'{') => Ok(vec![parse_item(body)?]),
        None => Err(HttpError::bad_request(
            r#"body is empty; send {"channel":"…","message":{…}}"#,
        )),
        Some(_) => Err(match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => HttpError::bad_request(
                r#"body is neither a JSON object nor an array; send {"channel":"…","message":{…}}"#,
            ),
            Err(error) => not_json(&error),
        }),
    }
}

fn parse_list(body: &[u8]) -> Result<Vec<Publication>, HttpError> {
    let items: Items<'_, MAX_MESSAGES> =
        serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let Items { first, count } = items;
    if !(1..=MAX_MESSAGES).contains(&count) {
        return Err(HttpError::bad_request(format!(
            "body has {count} messages; send 1 to {MAX_MESSAGES}"
        )));
    }
    let numbered = (1..).zip(first);
    numbered
        .map(|(number, item)| {
            parse_item(item.get().as_bytes()).map_err(|error| {
                let message = error.message;
                HttpError::bad_request(format!("message {number} of {count}: {message}"))
            })
        })
        .collect()
}

fn parse_item(text: &[u8]) -> Result<Publication, HttpError> {
    if !json::is_object(text) {
        return Err(HttpError::bad_request(
            r#"it is not an object; send {"channel":"…","message":{…}}"#,
        ));
    }
    let item: Item = serde_json::from_slice(text).map_err(|error| {
        if error.is_data() {
            HttpError::bad_request("channel or message is there more than once")
        } else {
            not_json(&error)
        }
    })?;
    Publication::new(item.channel, item.message).map_err(HttpError::bad_request)
}
