//! A publisher of numbered messages: the numbers show a subscriber what is missing.

use crate::support::http::Http;
use crate::support::server::{Server, deliveries, post};
use crate::support::{eventually, token};

/// The message of a publisher with this number, padded to `size` bytes.
pub fn message(publisher: usize, number: u64, size: usize) -> String {
    let head = format!(r#"{{"p":{publisher},"n":{number},"fill":""#);
    let fill = "x".repeat(size.saturating_sub(head.len() + 2));
    format!(r#"{head}{fill}"}}"#)
}

/// The publisher and the number of a message.
pub fn numbers(message: &[u8]) -> Option<(usize, u64)> {
    let head = &message[..message.len().min(64)];
    let text = std::str::from_utf8(head).ok()?;
    let (publisher, rest) = text.strip_prefix(r#"{"p":"#)?.split_once(r#","n":"#)?;
    let (number, _) = rest.split_once(',')?;
    Some((publisher.parse().ok()?, number.parse().ok()?))
}

/// A connection that posts one message after another to a channel.
pub struct Publisher<'a> {
    server: &'a Server,
    http: Http,
    publisher: usize,
    channel: &'static str,
    size: usize,
    /// Messages that were answered with 200.
    pub answered: u64,
}

impl<'a> Publisher<'a> {
    pub fn new(server: &'a Server, publisher: usize, channel: &'static str, size: usize) -> Self {
        // Connected before the fault begins, or as soon as the server accepts it.
        let http = eventually("a publisher is connected", || {
            let mut http = server.http();
            let sent = http.try_send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
            let response = sent.then(|| http.try_response()).flatten()?;
            (response.status == 200).then_some(http)
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

    /// Posts the next message; the number of deliveries, or `None` without a response.
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

    /// Posts the next message, which must reach so many subscribers.
    #[track_caller]
    pub fn post(&mut self, expected: u64) {
        let number = self.answered;
        assert_eq!(self.try_post(), Some(expected), "message {number}");
    }

    /// Posts the next message, and again over a new connection as long as there is no response.
    pub fn post_with_retry(&mut self) -> u64 {
        eventually("a broadcast is answered", || {
            let deliveries = self.try_post();
            if deliveries.is_none() {
                self.http = self.server.http();
            }
            deliveries
        })
    }

    /// The message that the next post sends.
    pub fn next_message(&self) -> String {
        message(self.publisher, self.answered, self.size)
    }
}
