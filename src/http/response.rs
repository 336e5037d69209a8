//! What a route answers, and how it is written.
//!
//! tiny_http's `Response` and its writer do it, into a buffer that goes out in one write.
//! They leave the headers of one hop to the server, so those are put in here.

use std::io::Cursor;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Method, StatusCode};

use super::{Head, HttpError};

/// Status line and headers of an answer without its body, in bytes, give or take.
const HEAD_SIZE: usize = 320;
/// A client that is turned away by a full or stopping server may try again after, in seconds.
const RETRY_AFTER: &str = "5";

/// Whether the connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// For the next request.
    KeepAlive,
    /// It ends.
    Close,
}

/// The one protocol that a connection can change to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WebSocket {
    /// It is not spoken of.
    Unmentioned,
    /// The client should ask for it (RFC 9110 §15.5.22).
    Required,
    /// From here on it is spoken.
    Accepted,
}

/// An answer to a request.
pub struct Response {
    response: tiny_http::Response<Cursor<Vec<u8>>>,
    websocket: WebSocket,
}

impl Response {
    /// JSON with a status.
    pub fn json(status: u16, body: &impl Serialize) -> Response {
        let text = serde_json::to_vec(body).expect("what we answer has only text for keys");
        Response::new(status, "application/json", text)
    }

    /// A page of ours. It may load nothing from elsewhere and is not kept.
    pub fn page(html: &'static str) -> Response {
        Response::new(200, "text/html; charset=utf-8", html.into())
            .with("Cache-Control", "no-store")
            .with("X-Content-Type-Options", "nosniff")
            .with("Referrer-Policy", "no-referrer")
            .with(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                 connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'",
            )
    }

    /// Text of a kind, made for this one answer.
    pub fn text(content_type: &str, text: String) -> Response {
        Response::new(200, content_type, text.into_bytes()).with("Cache-Control", "no-store")
    }

    /// The end of a handshake (RFC 6455 §4.2.2).
    pub fn switching_protocols(accept: &str) -> Response {
        let response = tiny_http::Response::from_data(Vec::new()).with_status_code(StatusCode(101));
        let reply = Response {
            response,
            websocket: WebSocket::Accepted,
        };
        reply.with("Sec-WebSocket-Accept", accept)
    }

    /// The answer to a method that the path does not know (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allowed: &'static str) -> Response {
        let sentence = format!("method is not allowed here; use {allowed}");
        Response::from(HttpError::new(405, sentence)).with("Allow", allowed)
    }

    fn new(status: u16, content_type: &str, body: Vec<u8>) -> Response {
        let response = tiny_http::Response::from_data(body)
            .with_status_code(StatusCode(status))
            // Never chunked: the length is known and every client takes it.
            .with_chunked_threshold(usize::MAX);
        let reply = Response {
            response,
            websocket: WebSocket::Unmentioned,
        };
        reply.with("Content-Type", content_type)
    }

    /// The same answer with one more header, which must be ASCII.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        let header = Header::from_bytes(name.as_bytes(), value.as_bytes());
        self.response
            .add_header(header.expect("our own headers are ASCII"));
        self
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.response.status_code().0
    }

    /// The bytes that answer a request with this head.
    pub fn encode(self, head: &Head, persistence: Persistence) -> Vec<u8> {
        self.print(&head.version, head.method == Method::Head, persistence)
    }

    /// The bytes for a request whose head could not be read.
    pub fn encode_unasked(self) -> Vec<u8> {
        self.print(&HTTPVersion(1, 1), false, Persistence::Close)
    }

    fn print(self, version: &HTTPVersion, omits_body: bool, persistence: Persistence) -> Vec<u8> {
        let connection = match (self.websocket, persistence) {
            (WebSocket::Accepted, _) => "", // the writer says it
            (WebSocket::Required, Persistence::KeepAlive) => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            }
            (WebSocket::Required, Persistence::Close) => {
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\n"
            }
            (WebSocket::Unmentioned, Persistence::Close) => "Connection: close\r\n",
            (_, Persistence::KeepAlive) if *version == HTTPVersion(1, 0) => {
                "Connection: keep-alive\r\n"
            }
            (WebSocket::Unmentioned, Persistence::KeepAlive) => "",
        };
        let upgrade = (self.websocket == WebSocket::Accepted).then_some("websocket");
        let response = self.response.with_header(server());
        let mut bytes = Vec::with_capacity(HEAD_SIZE + response.data_length().unwrap_or(0));
        response
            .raw_print(&mut bytes, version.clone(), &[], omits_body, upgrade)
            .expect("a vector takes every write");
        let status_line = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        bytes.splice(status_line..status_line, connection.bytes());
        bytes
    }
}

fn server() -> Header {
    Header::from_bytes(&b"Server"[..], &b"bifrost"[..]).expect("it is ASCII")
}

/// `{"error":"…"}`, with the headers that its status asks for.
impl From<HttpError> for Response {
    fn from(refusal: HttpError) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
        }
        let reply = Response::json(
            refusal.status,
            &Body {
                error: &refusal.sentence,
            },
        );
        let reply = match refusal.challenge {
            Some(challenge) => reply.with("WWW-Authenticate", challenge),
            None => reply,
        };
        match refusal.status {
            426 => Response {
                websocket: WebSocket::Required,
                ..reply
            },
            503 => reply.with("Retry-After", RETRY_AFTER),
            _ => reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    fn encode(reply: Response, request: &str, persistence: Persistence) -> String {
        String::from_utf8(reply.encode(&head(request), persistence)).unwrap()
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn a_refusal_is_json_with_a_sentence() {
        let text = encode(
            HttpError::new(400, "no \"token\"").into(),
            GET,
            Persistence::Close,
        );
        assert!(
            text.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Content-Type: application/json\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\r\n\r\n{\"error\":\"no \\\"token\\\"\"}"),
            "{text}"
        );
    }

    #[test]
    fn head_gets_the_length_without_the_body() {
        let request = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
        let text = encode(Response::page("<p>hi</p>"), request, Persistence::KeepAlive);
        assert!(
            text.contains("Content-Length: 9\r\n") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
        assert!(!text.contains("Connection:"), "{text}");
    }

    #[test]
    fn http_1_0_is_told_that_the_connection_stays() {
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let text = encode(Response::page(""), request, Persistence::KeepAlive);
        assert!(text.contains("\r\nConnection: keep-alive\r\n"), "{text}");
    }

    #[test]
    fn upgrades_are_asked_for_and_accepted() {
        let text = encode(HttpError::new(426, "x").into(), GET, Persistence::KeepAlive);
        assert!(
            text.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"),
            "{text}"
        );
        let text = encode(
            Response::switching_protocols("abc="),
            GET,
            Persistence::KeepAlive,
        );
        assert!(
            text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{text}"
        );
        assert!(text.contains("Upgrade: websocket\r\n"), "{text}");
        assert!(text.contains("Sec-WebSocket-Accept: abc=\r\n"), "{text}");
        assert!(!text.contains("Content-Length"), "{text}");
    }

    #[test]
    fn a_long_body_is_not_chunked() {
        let long = "x".repeat(100_000).leak();
        let text = encode(Response::page(long), GET, Persistence::KeepAlive);
        assert!(text.contains("Content-Length: 100000\r\n"));
    }
}
