//! `bifrost broadcast`: signs messages, posts them, and prints how many had each.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::{Stdin, keys, server_url};
use super::outcome::{Failure, Status};
use super::output::Reader;
use super::{claims, output, token};
use crate::cli::action::{Broadcast, Message, Text, Times};
use crate::cli::client::http::{HttpClient, Response};
use crate::config::{Keys, Variables};

/// How long a token is good that is posted at once: clocks may differ a little.
const LIFETIME: Duration = Duration::from_secs(60);
/// For a message to be sent and answered.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends what was asked for.
///
/// # Errors
/// When it can't be sent, or the server refuses it.
pub fn run(variables: &Variables, broadcast: &Broadcast) -> Result<Status, Failure> {
    let mut stdin = Stdin::default();
    let sender = Sender {
        keys: keys(variables, &mut stdin)?,
        client: HttpClient::new(server_url(variables)?, TIMEOUT),
        channel: &broadcast.content.channel,
    };
    match broadcast.times {
        Times::Once => {
            let message = token::message(&broadcast.content.message, &mut stdin)?;
            let deliveries = sender.send(&message)?;
            output::line(&deliveries.to_string())?;
        }
        Times::EachLine => send_lines(&sender, &broadcast.content.message, &mut stdin)?,
    }
    Ok(Status::Good)
}

fn send_lines(sender: &Sender<'_>, form: &Message, stdin: &mut Stdin) -> Result<(), Failure> {
    let is_on_stdin = match form {
        Message::Json(text) => *text == Text::Stdin,
        Message::Event { data, .. } => !matches!(data, Some(Text::Given(_))),
    };
    if !is_on_stdin {
        return Err(Failure::Usage(
            "--lines takes what it sends from stdin; leave --data out, or use --json -".into(),
        ));
    }
    for (number, line) in (1..).zip(stdin.lines()?) {
        let sent = line
            .and_then(|line| from_line(form, &line))
            .and_then(|message| sender.send(&message));
        let deliveries = sent.map_err(|failure| in_line(number, &failure))?;
        if output::line(&deliveries.to_string())? == Reader::Gone {
            let sentence = format!("nobody reads the output any more; stopped after line {number}");
            return Err(Failure::Failed(sentence));
        }
    }
    Ok(())
}

fn from_line(form: &Message, line: &str) -> Result<Box<RawValue>, Failure> {
    match form {
        Message::Json(_) => claims::object(line),
        Message::Event { event, .. } => Ok(claims::event(event, Some(line))),
    }
}

/// What stands on stdin is no mistake of whoever typed the command.
fn in_line(number: u64, failure: &Failure) -> Failure {
    Failure::Failed(format!("line {number}: {failure}"))
}

/// Whoever sends to one channel.
struct Sender<'a> {
    keys: Keys,
    client: HttpClient,
    channel: &'a str,
}

impl Sender<'_> {
    /// Signs a message and posts it; gives the number of deliveries.
    fn send(&self, message: &RawValue) -> Result<u64, Failure> {
        let token = claims::broadcast(self.channel, message, Some(LIFETIME), &self.keys)?;
        let body = serde_json::json!({ "token": token }).to_string();
        let answer = self.client.post("/broadcast", &body);
        let response = answer.map_err(|error| self.failed(&error.to_string()))?;
        read(&response).map_err(|sentence| self.failed(&sentence))
    }

    fn failed(&self, sentence: &str) -> Failure {
        Failure::Failed(format!("{}: {sentence}", self.client.url()))
    }
}

/// The number in an answer, or what is wrong with it.
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
            "; the server's secret, its JWT_ALGORITHM or its clock is another than here"
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
