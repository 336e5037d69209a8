//! `bifrost broadcast`: signs messages, posts them, and prints each one's number of deliveries.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::{Stdin, keys, server_url};
use super::outcome::{CommandError, Status};
use super::output::Reader;
use super::{claims, output, token};
use crate::cli::action::{Broadcast, Message, Repeat, TextSource};
use crate::cli::client::http::{HttpClient, Response};
use crate::config::{Keys, Variables};

/// How long a token is valid. It is posted at once, but clocks may differ a little.
const LIFETIME: Duration = Duration::from_secs(60);
/// Time limit for a message to be sent and answered.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the messages.
///
/// # Errors
/// When one can't be sent, or the server rejects it.
pub fn run(variables: &Variables, broadcast: &Broadcast) -> Result<Status, CommandError> {
    let mut stdin = Stdin::default();
    let sender = Sender {
        keys: keys(variables, &mut stdin)?,
        client: HttpClient::new(server_url(variables)?, TIMEOUT),
        channel: &broadcast.content.channel,
    };
    match broadcast.repeat {
        Repeat::Once => {
            let message = token::message(&broadcast.content.message, &mut stdin)?;
            let deliveries = sender.send(&message)?;
            output::line(&deliveries.to_string())?;
        }
        Repeat::EachLine => send_lines(&sender, &broadcast.content.message, &mut stdin)?,
    }
    Ok(Status::Good)
}

fn send_lines(
    sender: &Sender<'_>,
    template: &Message,
    stdin: &mut Stdin,
) -> Result<(), CommandError> {
    let is_on_stdin = match template {
        Message::Json(text) => *text == TextSource::Stdin,
        Message::Event { data, .. } => !matches!(data, Some(TextSource::Argument(_))),
    };
    if !is_on_stdin {
        return Err(CommandError::Usage(
            "--lines takes what it sends from stdin; leave --data out, or use --json -".into(),
        ));
    }
    for (number, line) in (1..).zip(stdin.lines()?) {
        let sent = line
            .and_then(|line| from_line(template, &line))
            .and_then(|message| sender.send(&message));
        let deliveries = sent.map_err(|error| with_line_number(number, &error))?;
        if output::line(&deliveries.to_string())? == Reader::Closed {
            let sentence = format!("nobody reads the output any more; stopped after line {number}");
            return Err(CommandError::Failed(sentence));
        }
    }
    Ok(())
}

fn from_line(template: &Message, line: &str) -> Result<Box<RawValue>, CommandError> {
    match template {
        Message::Json(_) => claims::object(line),
        Message::Event { event, .. } => Ok(claims::event(event, Some(line))),
    }
}

/// Names the line. A wrong line on stdin is not a wrong argument: the exit status is 1.
fn with_line_number(number: u64, error: &CommandError) -> CommandError {
    CommandError::Failed(format!("line {number}: {error}"))
}

/// Signs and posts messages to one channel.
struct Sender<'a> {
    keys: Keys,
    client: HttpClient,
    channel: &'a str,
}

impl Sender<'_> {
    /// Signs a message and posts it; returns the number of deliveries.
    fn send(&self, message: &RawValue) -> Result<u64, CommandError> {
        let token = claims::broadcast(self.channel, message, Some(LIFETIME), &self.keys)?;
        let body = serde_json::json!({ "token": token }).to_string();
        let answer = self.client.post("/broadcast", &body);
        let response = answer.map_err(|error| self.failed(&error.to_string()))?;
        read(&response).map_err(|sentence| self.failed(&sentence))
    }

    fn failed(&self, sentence: &str) -> CommandError {
        CommandError::Failed(format!("{}: {sentence}", self.client.url()))
    }
}

/// The number of deliveries in an answer, or a sentence that says what is wrong.
fn read(response: &Response) -> Result<u64, String> {
    #[derive(Deserialize)]
    struct Sent {
        deliveries: u64,
    }
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    let status = response.status;
    if status == 200 {
        return match serde_json::from_slice(&response.body) {
            Ok(Sent { deliveries }) => Ok(deliveries),
            Err(_) => Err("what answers there is no Bifrost server".into()),
        };
    }
    let reason = match serde_json::from_slice(&response.body) {
        Ok(Refused { error }) => format!(": {error}"),
        Err(_) => String::new(),
    };
    let cure = match (status, reason.as_str()) {
        (400, ": Bad signature") => {
            "; the server's secret, JWT_ALGORITHM or clock differs from the one here"
        }
        (404, _) => "; is the URL that of a Bifrost server?",
        (413, _) => "; see BIFROST_MAX_BODY of the server",
        (300..400, _) => "; redirects are not followed, give the URL that they lead to",
        _ => "",
    };
    Err(format!("answered {status}{reason}{cure}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<u64, String> {
        let body = body.into();
        read(&Response { status, body })
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(
            answer(200, r#"{"message":"Success","deliveries":7}"#),
            Ok(7)
        );
        for body in ["", "<html>", "{}", r#"{"deliveries":"7"}"#] {
            assert!(answer(200, body).is_err(), "{body}");
        }
        let refused = answer(400, r#"{"error":"Bad signature"}"#).unwrap_err();
        assert!(
            refused.starts_with("answered 400: Bad signature; "),
            "{refused}"
        );
        assert_eq!(answer(502, "<html>"), Err("answered 502".into()));
    }
}
