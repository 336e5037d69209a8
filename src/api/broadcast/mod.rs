//! The first journey: `POST /broadcast`, from a request's body to the subscribers.
//!
//! A message comes in one of two ways: inside a token that is good for this one message
//! (`signed`), or bare, with a token in the header that is good for some channels (`granted`).

mod bearer;
mod signed;

use serde::Serialize;
use serde_json::value::RawValue;
use tungstenite::Bytes;

use crate::auth::{TokenError, Verifier};
use crate::http::{HttpError, Request, Response};
use crate::hub::Hub;
use crate::protocol::channel;
use crate::protocol::json::{self, Text};
use crate::telemetry::counters;
use crate::websocket::frame;

/// The answer to a broadcast that was sent.
#[derive(Serialize)]
struct Sent {
    message: &'static str,
    deliveries: usize,
}

/// Why nothing was sent.
#[derive(Debug)]
pub struct Refused {
    /// What the sender is told.
    pub refusal: HttpError,
    /// What is wrong with the token, if that is it; only for the log.
    pub token: Option<TokenError>,
}

impl From<HttpError> for Refused {
    fn from(refusal: HttpError) -> Refused {
        Refused {
            refusal,
            token: None,
        }
    }
}

/// A message on its way to a channel, ready for the wire.
struct Broadcast {
    channel: String,
    frame: Bytes,
}

/// Sends the messages in a request to every subscriber of their channels, if all are good.
///
/// # Errors
/// A refusal whose sentence says what is wrong: 400; or, without a token in the body, 401
/// when the header has no good one and 403 when it is not good for the channel (RFC 6750 §3.1).
pub fn post(request: &Request, verifier: &Verifier, registry: &Hub) -> Result<Response, Refused> {
    let send = |broadcast: &Broadcast| registry.broadcast(&broadcast.channel, &broadcast.frame);
    let deliveries = match signed::find_token(request) {
        Ok(token) => send(&signed::read(&token, verifier)?),
        Err(no_token) if no_token.is_final => return Err(no_token.refusal.into()),
        Err(no_token) => bearer::read(request, verifier, no_token.refusal)?
            .iter()
            .map(send)
            .sum(),
    };
    Ok(Response::json(
        200,
        &Sent {
            message: "Success",
            deliveries,
        },
    ))
}

impl Broadcast {
    /// Checks what a broadcast consists of, each as the application wrote it.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn new(channel: Option<&RawValue>, message: Option<&RawValue>) -> Result<Broadcast, String> {
        let channel = channel.ok_or("channel is missing")?;
        let Text(channel) =
            serde_json::from_str(channel.get()).map_err(|_| "channel is not a string")?;
        channel::check(&channel).map_err(|fault| format!("channel {fault}"))?;
        let message = message.ok_or("message is missing")?.get();
        if !json::is_object(message.as_bytes()) {
            return Err("message is not an object".into());
        }
        Ok(Broadcast {
            channel: channel.into_owned(),
            frame: frame::text(message),
        })
    }
}

/// What a token that is not taken is answered, and counted; `status` depends on where it was.
fn reject(rejection: TokenError, status: u16) -> Refused {
    counters::AUTH_FAILURES.add_one(rejection.into());
    let refusal = match rejection {
        TokenError::TooDeep => HttpError::new(
            status,
            format!("claims are nested over {} levels deep", json::MAX_DEPTH),
        ),
        _ => HttpError::new(status, "Bad signature"), // never told apart
    };
    Refused {
        refusal,
        token: Some(rejection),
    }
}

/// Only the place is told: the parser's own words could repeat the text.
fn not_json(error: &serde_json::Error) -> HttpError {
    let (line, column) = (error.line(), error.column());
    HttpError::new(
        400,
        format!("body is not JSON (line {line}, column {column})"),
    )
}
