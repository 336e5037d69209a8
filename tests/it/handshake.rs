//! `GET /subscribe`: the WebSocket handshake, and how it is refused.

use std::net::TcpStream;

use crate::support::http::Response;
use crate::support::process::Launch;
use crate::support::raw::{HANDSHAKE, RawSocket, TEXT, event, masked};
use crate::support::server::Server;
use crate::support::subscriber::Subscriber;
use crate::support::token;

/// The sample handshake with one of its lines replaced, or left out if `line` is empty.
fn handshake_with(name: &str, line: &str) -> String {
    let lines: Vec<&str> = HANDSHAKE
        .split("\r\n")
        .map(|old| {
            if old.starts_with(&format!("{name}:")) {
                line
            } else {
                old
            }
        })
        .enumerate()
        // The two empty lines end the head.
        .filter(|(number, line)| !line.is_empty() || *number >= 6)
        .map(|(_, line)| line)
        .collect();
    lines.join("\r\n")
}

fn handshake_and(line: &str) -> String {
    HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
}

#[track_caller]
fn expect_upgrade(response: &Response) {
    assert_eq!(response.status, 101, "{} {response:?}", response.text());
    assert_eq!(response.version, "HTTP/1.1");
    assert!(response.lists("upgrade", "websocket"), "{response:?}");
    assert!(response.lists("connection", "upgrade"), "{response:?}");
    assert_eq!(
        response.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(response.header("sec-websocket-extensions"), None);
    assert_eq!(response.header("sec-websocket-protocol"), None);
}

#[test]
fn handshake_is_answered_as_the_rfc_shows() {
    let server = Server::start();
    expect_upgrade(&server.ask(HANDSHAKE));
}

#[test]
fn handshake_is_accepted_in_every_spelling_that_http_allows() {
    let server = Server::start();
    for request in [
        HANDSHAKE.replace("GET /subscribe ", "GET /subscribe/ "),
        HANDSHAKE.replace("GET /subscribe ", "GET /subscribe?token=x "),
        handshake_with("Upgrade", "Upgrade: WebSocket"),
        handshake_with("Upgrade", "upgrade:websocket"),
        handshake_with("Connection", "Connection: keep-alive, Upgrade"),
        handshake_with("Connection", "connection: UPGRADE"),
        handshake_and("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        handshake_and("Sec-WebSocket-Protocol: chat, superchat"),
        handshake_and("Origin: https://anywhere.example"),
        handshake_and("Origin: null"),
        handshake_and("Cookie: a=b\r\nPragma: no-cache\r\nUser-Agent: x"),
    ] {
        expect_upgrade(&server.ask(request));
    }
}

#[test]
fn plain_get_is_told_to_upgrade() {
    let server = Server::start();
    let response = server.get("/subscribe");
    response.expect_error(426);
    assert_eq!(response.header("upgrade"), Some("websocket"));
}

#[test]
fn incomplete_handshakes_are_refused() {
    let server = Server::start();
    for request in [
        handshake_with("Connection", ""),
        handshake_with("Connection", "Connection: close"),
        handshake_with("Upgrade", ""),
        handshake_with("Upgrade", "Upgrade: h2c"),
    ] {
        let response = server.ask(&request);
        assert!(
            [400, 426].contains(&response.status),
            "{request} {response:?}"
        );
        response.expect_error(response.status);
    }
}

#[test]
fn key_must_be_16_bytes_in_base64() {
    let server = Server::start();
    for line in [
        "",
        "Sec-WebSocket-Key: ",
        "Sec-WebSocket-Key: short",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==",
        "Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let response = server.ask(handshake_with("Sec-WebSocket-Key", line));
        assert_eq!(response.status, 400, "{line:?} {response:?}");
        response.expect_error(400);
    }
}

#[test]
fn another_version_is_426_and_names_the_supported_one() {
    let server = Server::start();
    for version in ["12", "8", "0", "14", "130"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let response = server.ask(handshake_with("Sec-WebSocket-Version", &line));
        response.expect_error(426);
        assert_eq!(
            response.header("sec-websocket-version"),
            Some("13"),
            "{version}"
        );
    }
    for twice in [
        "13\r\nSec-WebSocket-Version: 8",
        "8\r\nSec-WebSocket-Version: 13",
    ] {
        let line = format!("Sec-WebSocket-Version: {twice}");
        let response = server.ask(handshake_with("Sec-WebSocket-Version", &line));
        response.expect_error(426);
    }
    let response = server.ask(handshake_with("Sec-WebSocket-Version", ""));
    assert!([400, 426].contains(&response.status), "{response:?}");
}

#[test]
fn http_1_0_cannot_upgrade() {
    let server = Server::start();
    server
        .ask(HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"))
        .expect_error(426);
}

#[test]
fn other_methods_and_paths_cannot_upgrade() {
    let server = Server::start();
    server
        .ask(HANDSHAKE.replace("GET", "POST"))
        .expect_error(405);
    server
        .ask(HANDSHAKE.replace("/subscribe", "/nowhere"))
        .expect_error(404);
    // RFC 9110, 7.8: an upgrade that is not for this resource is ignored.
    assert_eq!(
        server
            .ask(HANDSHAKE.replace("/subscribe", "/healthz"))
            .status,
        200
    );
}

#[test]
fn connection_is_usable_after_a_refused_handshake() {
    let server = Server::start();
    let mut http = server.http();
    http.send(handshake_with(
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Version: 12",
    ));
    let refusal = http.response();
    refusal.expect_error(426);
    if refusal.lists("connection", "close") {
        http.expect_closed();
    } else {
        expect_upgrade(&http.send(HANDSHAKE).response());
    }
}

#[test]
fn connection_can_be_upgraded_after_plain_requests() {
    let server = Server::start();
    let mut http = server.http();
    http.get("/healthz");
    http.send(HANDSHAKE);
    let mut raw = RawSocket::upgraded(http);
    raw.expect_nothing();
    assert_eq!(server.stats().connected, 1);
}

#[test]
fn frames_sent_together_with_the_handshake_are_read() {
    let server = Server::start();
    let authenticate = event("authenticate", &token::subscriber(&["a", "b"]));
    let mut bytes = HANDSHAKE.as_bytes().to_vec();
    bytes.extend(masked(TEXT, authenticate));
    bytes.extend(masked(TEXT, r#"{"event":"ping"}"#));
    let mut http = server.http();
    http.send(bytes);
    let mut raw = RawSocket::upgraded(http);
    raw.expect_confirmed(&["a", "b"]);
    raw.expect_pong();
    assert_eq!(server.broadcast("b", "{}"), 1);
    raw.expect_text("{}");
}

#[test]
fn frame_split_after_the_handshake_is_read_whole() {
    let server = Server::start();
    let frame = masked(TEXT, r#"{"event":"ping"}"#);
    let (first, second) = frame.split_at(5);
    let mut http = server.http();
    http.send([HANDSHAKE.as_bytes(), first].concat());
    let mut raw = RawSocket::upgraded(http);
    raw.http.send(second);
    raw.expect_pong();
}

/// The status that a handshake from each of `origins` gets from a server that allows these origins.
#[track_caller]
fn expect_origins(allowed: &str, accepted: &[&str], refused: &[&str]) {
    let server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", allowed)]);
    for origin in accepted {
        let response = server.ask(handshake_and(&format!("Origin: {origin}")));
        assert_eq!(
            response.status,
            101,
            "{origin} with {allowed}: {}",
            response.text()
        );
    }
    for origin in refused {
        let response = server.ask(handshake_and(&format!("Origin: {origin}")));
        assert_eq!(response.status, 403, "{origin} with {allowed}");
        response.expect_error(403);
    }
    assert_eq!(server.ask(HANDSHAKE).status, 101, "no origin at all");
}

#[test]
fn listed_origins_pass_and_others_are_403() {
    expect_origins(
        "https://example.com, http://localhost:3000 ,https://app.example.org",
        &[
            "https://example.com",
            "http://localhost:3000",
            "https://app.example.org",
        ],
        &[
            "http://example.com",
            "https://example.com:8443",
            "https://example.com.evil.test",
            "https://www.example.com",
            "https://evil.test/https://example.com",
            "http://localhost:30000",
            "null",
            "example.com",
        ],
    );
}

#[test]
fn origins_are_compared_as_a_browser_sends_them() {
    expect_origins(
        "https://A.example/, https://b.example:443,http://c.example:80/,https://*.d.example:443, file:///",
        &[
            "https://a.example",
            "https://b.example",
            "http://c.example",
            "https://www.d.example",
            "file://",
        ],
        &[
            "http://a.example",
            "https://b.example:8443",
            "http://c.example:8080",
            "https://www.d.example:8443",
            "null",
        ],
    );
}

#[test]
fn list_of_origins_without_an_origin_is_refused() {
    let launch = Launch::serve().env("BIFROST_ALLOWED_ORIGINS", ",");
    let words = [
        "BIFROST_ALLOWED_ORIGINS",
        "no origin in it",
        "leave it empty",
    ];
    launch.run().expect_refusal(2, &words);
}

#[test]
fn origin_that_no_page_can_have_is_refused_with_advice() {
    for (entry, cure) in [
        ("*", "leave it empty to allow any"),
        ("app.example", "use origins such as"),
        (
            "https://app.example/chat",
            "more than a scheme, a host and a port",
        ),
        (
            "https://a.example https://b.example",
            "separate origins with commas",
        ),
        (
            "https://a.example;https://b.example",
            "separate origins with commas",
        ),
        ("'https://a.example'", "leave the quotes out"),
        ("https://bücher.example", "punycode"),
        ("https://*:443", "leave it out too"),
    ] {
        let list = format!("https://good.example, {entry}");
        let words = ["BIFROST_ALLOWED_ORIGINS has", entry, cure];
        for command in ["serve", "check"] {
            let launch = Launch::serve().env("BIFROST_ALLOWED_ORIGINS", &list);
            launch.args(&[command]).run().expect_refusal(2, &words);
        }
    }
}

#[test]
fn every_origin_header_has_to_be_allowed() {
    let server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", "https://a.test")]);
    for (second, status) in [("https://a.test", 101), ("https://b.test", 403)] {
        let lines = format!("Origin: https://a.test\r\nOrigin: {second}");
        assert_eq!(server.ask(handshake_and(&lines)).status, status, "{second}");
    }
}

#[test]
fn wildcard_in_an_origin_stands_for_anything_but_a_slash() {
    expect_origins(
        "https://*.example.com,http://localhost:*,https://pr-*.*.test",
        &[
            "https://www.example.com",
            "https://a.b.example.com",
            "http://localhost:3000",
            "https://pr-12.preview.test",
        ],
        &[
            "https://example.com",
            "http://www.example.com",
            "https://www.example.com.evil.test",
            "https://evil.test/.example.com",
            "https://wwwXexample.com",
            "http://localhost",
            "https://pr-12.test",
        ],
    );
}

#[test]
fn origins_are_checked_for_subscribing_only() {
    let server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", "https://example.com")]);
    let response =
        server.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.test\r\n\r\n");
    assert_eq!(response.status, 200);
}

#[test]
fn client_library_can_subscribe() {
    let server = Server::start();
    let stream = TcpStream::connect(server.address).expect("connect");
    let mut alice = Subscriber::over(stream, server.address);
    alice.authenticate(&token::subscriber(&["a"]));
    alice.expect_confirmed(&["a"]);
    alice.leave();
}
