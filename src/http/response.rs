//! What a route answers, and how it is written.
//!
//! tiny_http's `Response` and its writer do it, into a buffer that goes out in one write; nothing
//! else of that crate is used, and nowhere else. They leave hop-by-hop headers to the server,
//! so those are inserted here.

use std::io::Cursor;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, StatusCode};

use super::error::HttpError;
use super::head::{Head, Method, Version};
use super::status::Status;

/// Status line and headers of a response, in bytes, approximately.
const HEAD_SIZE: usize = 320;
/// When a client that a full or stopping server has rejected may try again, in seconds.
const RETRY_AFTER: &str = "5";
/// The header that tiny_http's writer adds for a body of unknown length.
const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// Whether the connection is kept after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// For the next request.
    KeepAlive,
    /// It is closed.
    Close,
}

impl Persistence {
    /// Whether the connection is kept, by whether it may be.
    pub fn kept_if(may_be_kept: bool) -> Persistence {
        if may_be_kept {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        }
    }
}

/// What a response says of the one protocol that a connection can be upgraded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WebSocket {
    /// Nothing.
    Unmentioned,
    /// The client should ask for it (RFC 9110 §15.5.22).
    Required,
    /// The connection speaks it from here on.
    Accepted,
}

/// How the body of a response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Whole, after the head.
    Whole,
    /// In pieces, by whatever the connection is handed over to.
    Stream,
}

/// A response to a request.
pub struct Response {
    response: tiny_http::Response<Cursor<Vec<u8>>>,
    status: Status,
    websocket: WebSocket,
    body: Body,
}

impl Response {
    /// JSON with a status.
    pub fn json(status: Status, body: &impl Serialize) -> Response {
        let text = serde_json::to_vec(body).expect("our own structs have text for keys");
        Response::whole(status, "application/json", text)
    }

    /// A page of ours. It may load nothing from elsewhere, and is not cached.
    pub fn page(html: &'static str) -> Response {
        Response::whole(Status::Ok, "text/html; charset=utf-8", html.into())
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

    /// Text of a type, which is not cached.
    pub fn text(content_type: &str, text: String) -> Response {
        let response = Response::whole(Status::Ok, content_type, text.into_bytes());
        response.with("Cache-Control", "no-store")
    }

    /// A head whose body follows in pieces of unknown number: each a chunk of
    /// [`super::chunked::encode`] for HTTP/1.1, or as it is until the connection's end for HTTP/1.0.
    pub fn stream(content_type: &str) -> Response {
        let status = StatusCode(Status::Ok.code());
        let response = tiny_http::Response::new(status, Vec::new(), Cursor::default(), None, None);
        let response = Response {
            response,
            status: Status::Ok,
            websocket: WebSocket::Unmentioned,
            body: Body::Stream,
        };
        response.with("Content-Type", content_type)
    }

    /// The response that ends a WebSocket handshake (RFC 6455 §4.2.2).
    pub fn switching_protocols(accept: &str) -> Response {
        let status = Status::SwitchingProtocols;
        let response = tiny_http::Response::from_data(Vec::new());
        let response = Response {
            response: response.with_status_code(StatusCode(status.code())),
            status,
            websocket: WebSocket::Accepted,
            body: Body::Whole,
        };
        response.with("Sec-WebSocket-Accept", accept)
    }

    /// The response to a method that the path does not know (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allowed: &'static str) -> Response {
        let message = format!("method is not allowed here; use {allowed}");
        let error = HttpError::new(Status::MethodNotAllowed, message);
        Response::from(error).with("Allow", allowed)
    }

    fn whole(status: Status, content_type: &str, body: Vec<u8>) -> Response {
        let response = tiny_http::Response::from_data(body)
            .with_status_code(StatusCode(status.code()))
            // Never chunked: the length is known, and every client accepts it.
            .with_chunked_threshold(usize::MAX);
        let response = Response {
            response,
            status,
            websocket: WebSocket::Unmentioned,
            body: Body::Whole,
        };
        response.with("Content-Type", content_type)
    }

    /// The same response with one more header, which must be ASCII.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        let header = Header::from_bytes(name.as_bytes(), value.as_bytes());
        self.response
            .add_header(header.expect("our own headers are ASCII"));
        self
    }

    /// Its status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The bytes that answer the request with this head.
    pub fn encode(self, head: &Head, persistence: Persistence) -> Vec<u8> {
        self.print(head.version, head.method == Method::Head, persistence)
    }

    /// The bytes for a request whose head could not be parsed.
    pub fn encode_without_head(self) -> Vec<u8> {
        self.print(Version::Http11, false, Persistence::Close)
    }

    fn print(self, version: Version, omits_body: bool, persistence: Persistence) -> Vec<u8> {
        let connection = self.connection_headers(version, persistence);
        let upgrade = (self.websocket == WebSocket::Accepted).then_some("websocket");
        let is_stream = self.body == Body::Stream;
        let response = self.response.with_header(server());
        let mut bytes = Vec::with_capacity(HEAD_SIZE + response.data_length().unwrap_or(0));
        let number = match version {
            Version::Http10 if !is_stream => HTTPVersion(1, 0),
            // For HTTP/1.0, the writer would first read a stream to its end.
            Version::Http10 | Version::Http11 => HTTPVersion(1, 1),
        };
        response
            .raw_print(&mut bytes, number, &[], omits_body || is_stream, upgrade)
            .expect("a vector takes every write");
        if is_stream && version == Version::Http10 {
            remove(&mut bytes, CHUNKED);
        }
        let status_line = bytes.iter().position(|&byte| byte == b'\n');
        let after_it = status_line.map_or(0, |end| end + 1);
        bytes.splice(after_it..after_it, connection.bytes());
        bytes
    }

    fn connection_headers(&self, version: Version, persistence: Persistence) -> &'static str {
        let ends_the_body = self.body == Body::Stream && version == Version::Http10;
        let persistence = if ends_the_body {
            Persistence::Close // the connection's end is the body's
        } else {
            persistence
        };
        match (self.websocket, persistence) {
            (WebSocket::Accepted, _) => "", // the writer adds it
            (WebSocket::Required, Persistence::KeepAlive) => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            }
            (WebSocket::Required, Persistence::Close) => {
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\n"
            }
            (WebSocket::Unmentioned, Persistence::Close) => "Connection: close\r\n",
            (WebSocket::Unmentioned, Persistence::KeepAlive) => match version {
                Version::Http10 => "Connection: keep-alive\r\n",
                Version::Http11 => "",
            },
        }
    }
}

fn server() -> Header {
    Header::from_bytes(&b"Server"[..], &b"bifrost"[..]).expect("it is ASCII")
}

/// Removes the first occurrence of a line.
fn remove(bytes: &mut Vec<u8>, line: &[u8]) {
    let found = bytes.windows(line.len()).position(|window| window == line);
    if let Some(start) = found {
        bytes.drain(start..start + line.len());
    }
}

/// `{"error":"…"}`, with the headers that its status asks for.
impl From<HttpError> for Response {
    fn from(error: HttpError) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
        }
        let body = Body {
            error: &error.message,
        };
        let response = Response::json(error.status, &body);
        let response = match error.challenge {
            Some(challenge) => response.with("WWW-Authenticate", challenge),
            None => response,
        };
        match error.status {
            Status::UpgradeRequired => Response {
                websocket: WebSocket::Required,
                ..response
            },
            Status::Unavailable => response.with("Retry-After", RETRY_AFTER),
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    fn encode(response: Response, request: &str, persistence: Persistence) -> String {
        String::from_utf8(response.encode(&head(request), persistence)).unwrap()
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn an_error_is_json_with_a_sentence() {
        let text = encode(
            HttpError::bad_request("no \"token\"").into(),
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
    fn http_1_0_is_told_that_the_connection_is_kept() {
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let text = encode(Response::page(""), request, Persistence::KeepAlive);
        assert!(text.contains("\r\nConnection: keep-alive\r\n"), "{text}");
    }

    #[test]
    fn upgrades_are_required_and_accepted() {
        let text = encode(
            HttpError::new(Status::UpgradeRequired, "x").into(),
            GET,
            Persistence::KeepAlive,
        );
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

    #[test]
    fn a_stream_is_chunked_for_http_1_1_and_ends_with_the_connection_for_http_1_0() {
        let stream = || Response::stream("text/event-stream").with("Cache-Control", "no-cache");
        let text = encode(stream(), GET, Persistence::KeepAlive);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"));
        assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
        assert!(text.contains("Content-Type: text/event-stream\r\n"));
        let text = encode(stream(), "GET / HTTP/1.0\r\n\r\n", Persistence::KeepAlive);
        assert!(text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\n"));
        assert!(!text.contains("Transfer-Encoding") && !text.contains("Content-Length"));
    }
}
