//! The first journey: `POST /broadcast`, from a request's body to the subscribers.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tungstenite::Bytes;

use crate::channel;
use crate::counts;
use crate::frame;
use crate::http::{Refusal, Reply, Request};
use crate::json::{self, Text};
use crate::registry::Registry;
use crate::token::{Claims, Rejection, Verifier};

/// The answer to a broadcast that was sent.
#[derive(Serialize)]
struct Sent {
    message: &'static str,
    deliveries: usize,
}

/// What a signed token asks to be sent, ready for the wire.
struct Broadcast {
    channel: String,
    frame: Bytes,
}

/// Sends the message in a signed token to every subscriber of its channel.
///
/// # Errors
/// A refusal with 400 whose sentence says what is wrong.
pub fn post(request: &Request, verifier: &Verifier, registry: &Registry) -> Result<Reply, Refusal> {
    let token = find_token(request)?;
    let verified = verifier.verify(&token).map_err(reject)?;
    let broadcast = read(&verified.claims(SystemTime::now()).map_err(reject)?)?;
    let deliveries = registry.broadcast(&broadcast.channel, &broadcast.frame);
    Ok(Reply::json(
        200,
        &Sent {
            message: "Success",
            deliveries,
        },
    ))
}

/// The token in a JSON body; or, when the body is declared a form and is not a JSON
/// object, in the form.
fn find_token(request: &Request) -> Result<Cow<'_, str>, Refusal> {
    let body = request.body.trim_ascii();
    match body.first() {
        None => Err(Refusal::new(
            400,
            r#"body is empty; send {"token":"<JWT>"}"#,
        )),
        Some(b'{') => token_in_json(body),
        Some(_) if is_form(request) => token_in_form(body),
        Some(_) => match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => Err(Refusal::new(
                400,
                r#"body is not a JSON object; send {"token":"<JWT>"}"#,
            )),
            Err(error) => Err(not_json(&error)),
        },
    }
}

fn token_in_json(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        token: Option<&'a RawValue>,
    }
    if json::is_too_deep(body) {
        let sentence = format!("body is nested over {} levels deep", json::MAX_DEPTH);
        return Err(Refusal::new(400, sentence));
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let Some(token) = body.token else {
        return Err(Refusal::new(
            400,
            r#"body has no token; send {"token":"<JWT>"}"#,
        ));
    };
    match serde_json::from_str(token.get()) {
        Ok(Text(token)) => Ok(token),
        Err(_) => Err(Refusal::new(400, "token is not a string")),
    }
}

fn token_in_form(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let mut fields = form_urlencoded::parse(body);
    let token = fields
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token);
    token.ok_or_else(|| Refusal::new(400, "form has no token; send token=<JWT>"))
}

fn is_form(request: &Request) -> bool {
    let content_type = request.head.header("Content-Type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Only the place is told: the parser's own words could repeat the text.
fn not_json(error: &serde_json::Error) -> Refusal {
    if error.is_data() {
        return Refusal::new(400, "body has token more than once");
    }
    let sentence = format!(
        "body is not JSON (line {}, column {})",
        error.line(),
        error.column()
    );
    Refusal::new(400, sentence)
}

fn read(claims: &Claims<'_>) -> Result<Broadcast, Refusal> {
    let refuse = |sentence: String| Refusal::new(400, sentence);
    let Some(channel) = claims.channel else {
        return Err(refuse("channel is missing".into()));
    };
    let Ok(Text(channel)) = serde_json::from_str(channel.get()) else {
        return Err(refuse("channel is not a string".into()));
    };
    channel::check(&channel).map_err(|fault| refuse(format!("channel {fault}")))?;
    let Some(message) = claims.message else {
        return Err(refuse("message is missing".into()));
    };
    if !message.get().starts_with('{') {
        return Err(refuse("message is not an object".into()));
    }
    Ok(Broadcast {
        channel: channel.into_owned(),
        frame: frame::text(message.get()),
    })
}

/// What a token that is not taken is answered, and counted.
fn reject(rejection: Rejection) -> Refusal {
    counts::AUTH_FAILURES.add_one(rejection.into());
    match rejection {
        Rejection::TooDeep => Refusal::new(
            400,
            format!("claims are nested over {} levels deep", json::MAX_DEPTH),
        ),
        _ => Refusal::new(400, "Bad signature"), // never told apart
    }
}
