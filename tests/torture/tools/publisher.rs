//! A publisher of numbered messages, by which a subscriber sees what is missing.

use crate::support::http::Http;
use crate::support::server::{Server, deliveries, post};
use crate::support::{eventually, token};

/// Message number `n` of a publisher, filled up to `size` bytes.
pub fn message(publisher: usize, number: u64, size: usize) -> String {
    let head = format!(r#"{{"p":{publisher},"n":{number},"fill":""#);
    let fill = "x".repeat(size.saturating_sub(head.len() + 2));
    format!(r#"{head}{fill}"}}"#)
}

/// Reads publisher and number out of a message.
pub fn numbers(message: &[u8]) -> Option<(usize, u64)> {
    let head = &message[..message.len().min(64)];
    let text = std::str::from_utf8(head).ok()?;
    let (publisher, rest) = text.strip_prefix(r#"{"p":"#)?.split_once(r#","n":"#)?;
    let (number, _) = rest.split_once(',')?;
    Some((publisher.parse().ok()?, number.parse().ok()?))
}

/// One connection that posts message after message to a channel.
pub struct Publisher<'a> {
    server: &'a Server,
    http: Http,
    publisher: usize,
    channel: &'static str,
    size: usize,
    /// So many messages have been answered with 200.
    pub answered: u64,
}

impl<'a> Publisher<'a> {
    pub fn new(server: &'a Server, publisher: usize, channel: &'static str, size: usize) -> Self {
        // It is in before anything bad happens, or as soon as there is room.
        let http = eventually("a publisher is let in", || {
            let mut http = server.http();
            let sent = http.try_send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = sent.then(|| http.try_response()).flatten()?;
            (answer.status == 200).then_some(http)
        });
        Publisher {
            server,
            http,
            publisher,
            channel,
            size,
            answered: 0,
        }
    }

    /// Posts the next message; the number of deliveries, or nothing if there is no answer.
    pub fn try_post(&mut self) -> Option<u64> {
        let message = message(self.publisher, self.answered, self.size);
        let token = token::publisher(self.channel, &message);
        let body = format!(r#"{{"token":"{token}"}}"#);
        if !self
            .http
            .try_send(post("/broadcast", "application/json", body))
        {
            return None;
        }
        let response = self.http.try_response()?;
        self.answered += 1;
        Some(deliveries(&response))
    }

    /// Posts the next message to so many subscribers.
    #[track_caller]
    pub fn post(&mut self, readers: u64) {
        let number = self.answered;
        assert_eq!(self.try_post(), Some(readers), "message {number}");
    }

    /// Posts the next message, over a new connection if this one was closed between requests.
    pub fn post_stubbornly(&mut self) -> u64 {
        eventually("a broadcast is answered", || {
            let answer = self.try_post();
            if answer.is_none() {
                self.http = self.server.http();
            }
            answer
        })
    }

    /// The message that the next post sends.
    pub fn next_message(&self) -> String {
        message(self.publisher, self.answered, self.size)
    }
}
