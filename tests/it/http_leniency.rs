//! Unusual requests that HTTP allows, and that must be answered.

use std::time::Duration;

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::token;

#[test]
fn header_value_outside_ascii_is_accepted() {
    let server = Server::start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    for line in [
        "Content-Type: application/json; profile=\u{e9}",
        "Authorization: Bearer \u{e9}",
        "X-Forwarded-For: \u{e9}",
        "Origin: http://m\u{fc}nchen.example",
    ] {
        let length = body.len();
        let head =
            format!("POST /broadcast HTTP/1.1\r\nHost: x\r\n{line}\r\nContent-Length: {length}");
        let response = server.ask(format!("{head}\r\n\r\n{body}"));
        assert_eq!(response.status, 200, "{line}: {response:?}");
    }
}

#[test]
fn empty_line_after_a_body_is_ignored() {
    let server = Server::with(&[("BIFROST_REQUEST_TIMEOUT", "400ms")]);
    let mut http = server.http();
    for line in ["\r\n", "\r\n\r\n", "\r"] {
        http.send(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{line}"));
        assert_eq!(http.response().status, 200);
        http.expect_silence(Duration::from_secs(1));
    }
    http.send("\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(http.response().status, 200);
}

#[test]
fn empty_lines_do_not_keep_a_connection_open() {
    let server = Server::with(&[("BIFROST_IDLE_TIMEOUT", "500ms")]);
    let mut http = server.http();
    assert_eq!(http.get("/healthz").status, 200);
    eventually("it is closed", || {
        let is_closed = !http.try_send("\r\n") || http.is_closed_within(Duration::from_millis(50));
        is_closed.then_some(())
    });
}
