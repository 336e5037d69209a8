//! `POST /broadcast`: any body is answered, and what a subscriber gets is the message exactly
//! as the application wrote it.
//!
//! An input is a media type and, behind a line end, a body. What stands in the body between
//! the first `<` and the last `>` is signed as claims, and the token put in its place. A media
//! type that begins with `!` is none: it is signed as claims, and the token goes in the header.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

use bifrost::api::broadcast;
use bifrost::http::{Decoder, Persistence, Progress, Request, Response};
use bifrost::hub::queue::{QueueBudget, SendQueue};
use bifrost::hub::{Hub, Subscriptions};
use bifrost::net::socket::Socket;
use bifrost::websocket::frame;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::application;
use super::frames::{self, Frame};
use super::json::Object;
use super::token::are_good_claims;

/// The channel that has a subscriber.
const CHANNEL: &str = "a";
/// Largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

thread_local! {
    static HUB: OneSubscriber = OneSubscriber::new();
}

/// A hub with one subscriber.
struct OneSubscriber {
    hub: Hub,
    peer: UnixStream,
    _subscriptions: Subscriptions,
}

/// A body with its token, and the claims that were signed for it.
struct Post<'a> {
    body: Vec<u8>,
    claims: Option<&'a [u8]>,
    is_plain: bool,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (media_type, body) = data.split_at(end);
    let post = Post::new(body.trim_ascii());
    let header = match media_type.strip_prefix(b"!") {
        Some(claims) => {
            let token = application::sign(application::HEADER.as_bytes(), claims);
            format!("Authorization: Bearer {token}").into_bytes()
        }
        None => [b"Content-Type: ", media_type].concat(),
    };
    let Some(request) = request(&header, &post.body) else {
        return; // no head can have this media type
    };
    let scope = media_type.strip_prefix(b"!");
    HUB.with(|hub| hub.check(&request, &post, scope));
}

impl<'a> Post<'a> {
    fn new(template: &'a [u8]) -> Post<'a> {
        let begin = template.iter().position(|&byte| byte == b'<');
        let end = template.iter().rposition(|&byte| byte == b'>');
        let (Some(begin), Some(end)) = (begin, end) else {
            return Post::without_token(template);
        };
        if end < begin {
            return Post::without_token(template);
        }
        let (before, claims, after) = (
            &template[..begin],
            &template[begin + 1..end],
            &template[end + 1..],
        );
        let token = application::sign(application::HEADER.as_bytes(), claims);
        Post {
            body: [before, token.as_bytes(), after].concat(),
            claims: Some(claims),
            is_plain: (before, after) == (br#"{"token":""#, br#""}"#),
        }
    }

    fn without_token(body: &'a [u8]) -> Post<'a> {
        Post {
            body: body.to_vec(),
            claims: None,
            is_plain: false,
        }
    }
}

fn request(header: &[u8], body: &[u8]) -> Option<Request> {
    let length = body.len().to_string();
    let mut input = [
        b"POST /broadcast HTTP/1.1\r\nHost: x\r\n",
        header,
        b"\r\nContent-Length: ",
        length.as_bytes(),
        b"\r\n\r\n",
        body,
    ]
    .concat();
    match Decoder::new(MAX_BODY).advance(&mut input) {
        Ok(Progress::Whole(request)) => Some(request),
        _ => None,
    }
}

impl OneSubscriber {
    fn new() -> OneSubscriber {
        let (peer, ours) = UnixStream::pair().expect("descriptors for two sockets");
        peer.set_nonblocking(true).expect("a socket of ours");
        let socket = Socket::new(OwnedFd::from(ours).into());
        let budget = QueueBudget::new(usize::MAX);
        let queue = SendQueue::new(socket, usize::MAX, budget, frame::TOO_SLOW)
            .expect("a descriptor for a waker");
        let hub = Hub::default();
        let mut subscriptions = hub.connect(queue, frame::append_message);
        subscriptions.join(CHANNEL, &frame::PING);
        let hub = OneSubscriber {
            hub,
            peer,
            _subscriptions: subscriptions,
        };
        assert_eq!(hub.received(), [Frame::Ping]);
        hub
    }

    fn check(&self, request: &Request, post: &Post<'_>, scope: Option<&[u8]>) {
        let answer = broadcast::post(request, &application::verifier(), &self.hub);
        let answer = answer.unwrap_or_else(|error| Response::from(error.http));
        let (status, body) = read(&answer.encode(&request.head, Persistence::KeepAlive));
        let received = self.received();
        match status {
            200 if is_list_of_messages(&post.body) => {
                let scope = scope.expect("only the application can sign");
                check_deliveries(scope, &post.body, &body, &received);
            }
            200 => {
                let claims = post.claims.expect("only the application can sign");
                check_delivery(claims, &body, &received);
            }
            400 | 401 | 403 => {
                assert!(Object::read(&body).is_some_and(|body| body.string("error").is_some()));
                assert_eq!(received, []);
                assert!(!(post.is_plain && is_good(post.claims)), "refused: {body}");
                assert!(status == 400 || post.claims.is_none() || !post.is_plain);
                assert!(
                    status != 403 || scope.is_some(),
                    "there is no token to forbid it"
                );
            }
            other => panic!("answered with {other}"),
        }
    }

    /// All frames that the subscriber has received since the last call.
    fn received(&self) -> Vec<Frame> {
        let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
        loop {
            match (&self.peer).read(&mut part) {
                Ok(size) => bytes.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a socket of ours: {error}"),
            }
        }
        frames::read_all(&bytes)
    }
}

/// The status and the body of an answer, whose length is what its head says.
fn read(answer: &[u8]) -> (u16, String) {
    let answer = std::str::from_utf8(answer).expect("we answer with text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let length = format!("\r\nContent-Length: {}", body.len());
    assert!(head.contains(&length), "{answer:?}");
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|head| head.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// One message or several, as they are sent with a token in the header.
fn messages(body: &[u8]) -> Option<Vec<HashMap<String, &RawValue>>> {
    let one = || serde_json::from_slice(body).map(|message| vec![message]);
    serde_json::from_slice(body).or_else(|_| one()).ok()
}

fn is_list_of_messages(body: &[u8]) -> bool {
    messages(body).is_some_and(|messages| !messages.iter().any(|one| one.contains_key("token")))
}

fn check_deliveries(scope: &[u8], body: &[u8], answer: &str, received: &[Frame]) {
    let claims: HashMap<String, &RawValue> = serde_json::from_slice(scope).expect("signed claims");
    let patterns: Vec<String> =
        serde_json::from_str(claims["broadcast"].get()).expect("there is no 200 without it");
    let messages = messages(body).expect("a list");
    assert!((1..=100).contains(&messages.len()));
    let mut expected = Vec::new();
    for message in &messages {
        let channel: String = serde_json::from_str(message["channel"].get()).expect("a name");
        let is_allowed = patterns
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => channel.starts_with(prefix),
                None => channel == *pattern,
            });
        assert!(is_allowed, "{patterns:?} do not allow {channel:?}");
        let text = message["message"].get();
        assert!(text.starts_with('{'), "{text:?} is no object");
        if channel == CHANNEL {
            expected.push(Frame::Text(text.to_owned()));
        }
    }
    assert_eq!(received, expected.as_slice());
    let deliveries = expected.len();
    assert_eq!(
        answer,
        format!(r#"{{"message":"Success","deliveries":{deliveries}}}"#)
    );
}

fn check_delivery(claims: &[u8], answer: &str, received: &[Frame]) {
    let claims = std::str::from_utf8(claims).unwrap_or_default();
    let Some(claims) = Object::read(claims) else {
        return; // beside the message, bytes may be what this reader does not take
    };
    let is_for_us = claims.string("channel").as_deref() == Some(CHANNEL);
    let message = claims.value("message").expect("there is no 200 without it");
    let is_json = serde_json::from_str::<IgnoredAny>(message).is_ok();
    assert!(
        is_json && message.starts_with('{'),
        "{message:?} is no object"
    );
    let expected = is_for_us.then(|| Frame::Text(message.to_owned()));
    assert_eq!(received, expected.as_slice());
    let deliveries = u8::from(is_for_us);
    assert_eq!(
        answer,
        format!(r#"{{"message":"Success","deliveries":{deliveries}}}"#)
    );
}

/// Whether claims have to be accepted.
fn is_good(claims: Option<&[u8]>) -> bool {
    let Some(text) = claims.and_then(|claims| std::str::from_utf8(claims).ok()) else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64());
    let Some(claims) = Object::read(text).filter(|_| are_good_claims(text, now)) else {
        return false;
    };
    let has_channel = claims
        .string("channel")
        .is_some_and(|name| (1..=255).contains(&name.len()));
    let message = claims.value("message");
    has_channel && message.is_some_and(|message| Object::read(message).is_some())
}
