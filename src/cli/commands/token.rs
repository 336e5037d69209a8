//! `bifrost token subscribe`, `broadcast` and `publisher`: a JWT alone on a line.

use super::input::{Stdin, keys};
use super::outcome::{Failure, Status};
use super::{claims, output};
use crate::cli::action::{Grant, Message, Right};
use crate::config::Variables;
use serde_json::value::RawValue;

/// Signs what was asked for, and prints it.
///
/// # Errors
/// When the secret can't be had, or a server would not take such a token.
pub fn run(variables: &Variables, grant: &Grant) -> Result<Status, Failure> {
    let mut stdin = Stdin::default();
    let keys = keys(variables, &mut stdin)?;
    let lifetime = grant.lifetime;
    let token = match &grant.right {
        Right::Subscribe(channels) => {
            output::note_patterns(channels);
            claims::subscribe(channels, lifetime, &keys)?
        }
        Right::Publish(patterns) => claims::publish(patterns, lifetime, &keys)?,
        Right::Broadcast(content) => {
            let message = message(&content.message, &mut stdin)?;
            claims::broadcast(&content.channel, &message, lifetime, &keys)?
        }
    };
    output::line(&token).map(|_| Status::Good)
}

/// The message's text, with what comes from stdin.
///
/// # Errors
/// When stdin can't be read, or what comes is not a message.
pub fn message(message: &Message, stdin: &mut Stdin) -> Result<Box<RawValue>, Failure> {
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
