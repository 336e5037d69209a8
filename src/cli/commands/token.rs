//! `bifrost token subscribe`, `broadcast` and `publisher`: a JWT alone on a line.

use super::input::{Stdin, keys};
use super::outcome::{CommandError, Status};
use super::{claims, output};
use crate::cli::action::{Message, TokenKind, TokenRequest};
use crate::config::Variables;
use serde_json::value::RawValue;

/// Signs a token and prints it.
///
/// # Errors
/// When there is no secret, or a server would reject such a token.
pub fn run(variables: &Variables, request: &TokenRequest) -> Result<Status, CommandError> {
    let mut stdin = Stdin::default();
    let keys = keys(variables, &mut stdin)?;
    let lifetime = request.lifetime;
    let token = match &request.kind {
        TokenKind::Subscriber(channels) => {
            output::note_patterns(channels);
            claims::subscribe(channels, lifetime, &keys)?
        }
        TokenKind::Publisher(patterns) => claims::publish(patterns, lifetime, &keys)?,
        TokenKind::Message(content) => {
            let message = message(&content.message, &mut stdin)?;
            claims::broadcast(&content.channel, &message, lifetime, &keys)?
        }
    };
    output::line(&token).map(|_| Status::Good)
}

/// The message's text; parts of it may be read from stdin.
///
/// # Errors
/// When stdin can't be read, or its text is not a message.
pub fn message(message: &Message, stdin: &mut Stdin) -> Result<Box<RawValue>, CommandError> {
    match message {
        Message::Json(text) => claims::object(&stdin.resolve(text, "the message")?),
        Message::Event { event, data: None } => Ok(claims::event(event, None)),
        Message::Event {
            event,
            data: Some(data),
        } => {
            let data = stdin.resolve(data, "the data")?;
            Ok(claims::event(event, Some(&data)))
        }
    }
}
