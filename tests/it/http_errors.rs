//! Heads and bodies that the server must refuse, with an error response before it closes.

use std::io::Write;
use std::thread;

use crate::support::http::Http;
use crate::support::server::{Server, deliveries, post};
use crate::support::token;

/// Asserts an error response, and that the connection ends after it.
#[track_caller]
fn refused(server: &Server, request: impl AsRef<[u8]>, status: u16) -> String {
    let mut http = server.http();
    http.send(request.as_ref());
    let response = http.response();
    let told = String::from_utf8_lossy(request.as_ref());
    assert_eq!(
        response.status,
        status,
        "{} to {told:.200?}",
        response.text()
    );
    let sentence = response.expect_error(status);
    http.expect_closed();
    sentence
}

#[test]
fn malformed_heads_are_400_and_closed() {
    let server = Server::start();
    for head in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "GET /healthz HTTP/1.1 more\r\nHost: x\r\n\r\n",
        "GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nSpace : before the colon\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nBad name: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nControl: a\x07b\r\n\r\n",
        "G\x07T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health\x7fz HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        refused(&server, head, 400);
    }
    refused(
        &server,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        400,
    );
}

#[test]
fn other_protocols_and_versions_are_refused() {
    let server = Server::start();
    for version in [
        "HTTP/2.0",
        "HTTP/0.9",
        "HTTP/x.y",
        "http/1.1",
        "HTTP/1.10",
        "FTP/1.1",
    ] {
        let mut http = server.http();
        http.send(format!("GET /healthz {version}\r\nHost: x\r\n\r\n"));
        let response = http.response();
        // RFC 9110, 15.6.6: an unsupported version may be answered with 505 or with 400.
        assert!(
            [400, 505].contains(&response.status),
            "{version}: {response:?}"
        );
        response.expect_error(response.status);
        http.expect_closed();
    }
}

#[test]
fn folded_headers_are_400() {
    let server = Server::start();
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nFolded: a\r\n b\r\n\r\n",
        400,
    );
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nFolded: a\r\n\tb\r\n\r\n",
        400,
    );
    refused(&server, "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", 400);
}

#[test]
fn lone_line_feeds_are_400() {
    let server = Server::start();
    refused(&server, "GET /healthz HTTP/1.1\nHost: x\r\n\r\n", 400);
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\nOther: y\r\n\r\n",
        400,
    );
    refused(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\n", 400);
    refused(&server, "GET /healthz HTTP/1.1\nHost: x\n\n", 400);
}

#[test]
fn nul_in_a_head_is_400() {
    let server = Server::start();
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nNul: a\0b\r\n\r\n",
        400,
    );
    refused(&server, "GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nN\0l: a\r\n\r\n",
        400,
    );
}

#[test]
fn missing_host_is_400_in_http_1_1_only() {
    let server = Server::start();
    refused(&server, "GET /healthz HTTP/1.1\r\n\r\n", 400);
    refused(
        &server,
        "POST /broadcast HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        400,
    );
    assert_eq!(server.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn two_hosts_are_400() {
    let server = Server::start();
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        400,
    );
}

/// The head of a broadcast with these headers besides `Host`, and a body.
fn broadcast_with(headers: &str, body: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}")
}

#[test]
fn content_length_beside_transfer_encoding_is_400() {
    let server = Server::start();
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    for headers in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: chunked\r\nContent-Length: 12",
    ] {
        refused(&server, broadcast_with(headers, chunks), 400);
    }
    // The rule applies to every request, with or without a body.
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&server, get, 400);
}

#[test]
fn more_than_one_content_length_is_400_even_if_equal() {
    let server = Server::start();
    for headers in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nX: y\r\ncontent-length: 2",
        "Content-Length: 2, 2",
        "Content-Length: 2, 3",
    ] {
        refused(&server, broadcast_with(headers, "{}"), 400);
    }
    refused(
        &server,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        400,
    );
}

#[test]
fn content_length_must_be_a_plain_number() {
    let server = Server::start();
    for length in ["", "two", "-2", "+2", "0x2", "2.0", "2 2", "2;"] {
        refused(
            &server,
            broadcast_with(&format!("Content-Length: {length}"), "{}"),
            400,
        );
    }
}

#[test]
fn absurd_content_length_is_refused() {
    let server = Server::start();
    let mut http = server.http();
    http.send(broadcast_with(
        "Content-Length: 99999999999999999999999999",
        "{}",
    ));
    let response = http.response();
    assert!([400, 413].contains(&response.status), "{response:?}");
    response.expect_error(response.status);
    http.expect_closed();
}

#[test]
fn unknown_transfer_encoding_is_501() {
    let server = Server::start();
    for encoding in ["gzip", "identity", "xchunked", "gzip, chunked", "chunkedx"] {
        refused(
            &server,
            broadcast_with(
                &format!("Transfer-Encoding: {encoding}"),
                "2\r\n{}\r\n0\r\n\r\n",
            ),
            501,
        );
    }
}

#[test]
fn malformed_chunks_are_400_and_closed() {
    let server = Server::start();
    for chunks in [
        "x\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}XX0\r\n\r\n",
        "2\r\n{} more than two\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
    ] {
        refused(
            &server,
            broadcast_with("Transfer-Encoding: chunked", chunks),
            400,
        );
    }
}

#[test]
fn absurd_chunk_size_is_refused() {
    let server = Server::start();
    for size in ["ffffffffffffffff", "10000000000000000", "7fffffffffffffff"] {
        let mut http = server.http();
        http.send(broadcast_with(
            "Transfer-Encoding: chunked",
            &format!("{size}\r\n{{}}"),
        ));
        let response = http.response();
        assert!([400, 413].contains(&response.status), "{response:?}");
        http.expect_closed();
    }
}

#[test]
fn endless_chunk_line_and_endless_trailers_are_refused() {
    let server = Server::start();
    for chunks in [
        format!("2;{}", "x".repeat(200_000)),
        format!("0\r\n{}", "A: b\r\n".repeat(40_000)),
    ] {
        let mut http = server.http();
        http.try_send(broadcast_with("Transfer-Encoding: chunked", &chunks));
        let status = http.response().status;
        assert!((400..500).contains(&status), "{status}");
        http.expect_closed();
    }
}

#[test]
fn head_over_16_kib_is_431() {
    let server = Server::start();
    let head = |length: usize| {
        let frame = "GET /healthz HTTP/1.1\r\nHost: x\r\nLong: \r\n\r\n".len();
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n",
            "x".repeat(length - frame)
        )
    };
    assert_eq!(server.ask(head(16 * 1024)).status, 200);
    refused(&server, head(16 * 1024 + 1), 431);
    refused(&server, head(200 * 1024), 431);
}

#[test]
fn head_that_never_ends_is_431() {
    let server = Server::start();
    refused(
        &server,
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nLong: {}",
            "x".repeat(20 * 1024)
        ),
        431,
    );
}

#[test]
fn more_than_100_headers_are_431() {
    let server = Server::start();
    let head = |count: usize| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "A: b\r\n".repeat(count - 1)
        )
    };
    assert_eq!(server.ask(head(100)).status, 200);
    refused(&server, head(101), 431);
}

#[test]
fn request_line_over_8_kib_is_414() {
    let server = Server::start();
    let request = |length: usize| {
        let frame = "GET /healthz? HTTP/1.1".len();
        format!(
            "GET /healthz?{} HTTP/1.1\r\nHost: x\r\n\r\n",
            "x".repeat(length - frame)
        )
    };
    assert_eq!(server.ask(request(8000)).status, 200);
    refused(&server, request(8 * 1024 + 1), 414);
    refused(&server, request(15 * 1024), 414);
    refused(&server, request(100 * 1024), 414);
}

/// `{"token":"…"}` padded with spaces to a length.
fn padded_broadcast(length: usize) -> String {
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let blanks = " ".repeat(length - body.len());
    body + &blanks
}

#[test]
fn body_over_1_mib_is_413() {
    let server = Server::start();
    let ask = |length| server.post("/broadcast", "application/json", padded_broadcast(length));
    assert_eq!(deliveries(&ask(1024 * 1024)), 0);
    ask(1024 * 1024 + 1).expect_error(413);
}

#[test]
fn body_limit_can_be_configured() {
    let server = Server::with(&[("BIFROST_MAX_BODY", "1000B")]);
    let ask = |length| server.post("/broadcast", "application/json", padded_broadcast(length));
    assert_eq!(deliveries(&ask(1000)), 0);
    ask(1001).expect_error(413);
}

#[test]
fn chunked_body_over_the_limit_is_413() {
    let server = Server::with(&[("BIFROST_MAX_BODY", "1000")]);
    let chunked = |body: &str| {
        let (first, second) = body.split_at(500);
        let (one, two) = (first.len(), second.len());
        let chunks = format!("{one:x}\r\n{first}\r\n{two:x}\r\n{second}\r\n0\r\n\r\n");
        broadcast_with("Transfer-Encoding: chunked", &chunks)
    };
    assert_eq!(deliveries(&server.ask(chunked(&padded_broadcast(1000)))), 0);
    refused(&server, chunked(&padded_broadcast(1001)), 413);
}

/// Sends a request far over the limit from another thread, and reads meanwhile.
#[track_caller]
fn refused_while_sending(server: &Server, head: &str, statuses: &[u16]) {
    let mut http = server.http();
    http.send(head);
    let mut sender = http.sender();
    let sending = thread::spawn(move || {
        let block = [b' '; 64 * 1024];
        // Ends when the server closes, or when it has read far too much.
        (0..1600)
            .take_while(|_| sender.write_all(&block).is_ok())
            .count()
    });
    let response = http.response();
    assert!(statuses.contains(&response.status), "{response:?}");
    response.expect_error(response.status);
    http.expect_closed();
    let blocks = sending.join().expect("the sending thread");
    assert!(blocks < 1600, "all 100 MiB were read");
}

#[test]
fn error_arrives_while_the_client_is_still_sending() {
    let server = Server::start();
    let request = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    };
    refused_while_sending(&server, &request("/broadcast"), &[413]);
    // These have two errors; either may be reported.
    refused_while_sending(&server, &request("/nowhere"), &[404, 413]);
    refused_while_sending(&server, &request("/healthz"), &[405, 413]);
    refused_while_sending(
        &server,
        &broadcast_with("Transfer-Encoding: chunked", "40000000\r\n"),
        &[413],
    );
    refused_while_sending(
        &server,
        &broadcast_with("Transfer-Encoding: gzip", ""),
        &[501],
    );
    refused_while_sending(
        &server,
        &broadcast_with("Content-Length: 9\r\nContent-Length: 9", ""),
        &[400],
    );
}

#[test]
fn error_arrives_at_a_client_that_reads_only_after_sending() {
    let server = Server::start();
    let mut http = server.http();
    http.send(post(
        "/broadcast",
        "application/json",
        vec![b' '; 8 * 1024 * 1024],
    ));
    let response = http.response();
    response.expect_error(413);
    assert!(response.lists("connection", "close"), "{response:?}");
    http.expect_closed();
    for (target, status) in [("/broadcast", 400), ("/nowhere", 404), ("/info.json", 405)] {
        let body = vec![b' '; 1024 * 1024];
        server
            .post(target, "application/json", body)
            .expect_error(status);
    }
}

#[test]
fn server_keeps_working_after_errors() {
    let server = Server::start();
    let mut open: Vec<Http> = Vec::new();
    for _ in 0..20 {
        let mut http = server.http();
        http.send("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
        open.push(http); // neither reads nor closes
    }
    assert_eq!(server.get("/healthz").status, 200);
    for mut http in open {
        http.response().expect_error(413);
    }
}

#[test]
fn panics_cannot_be_provoked_from_outside() {
    let server = Server::start();
    server.get("/panic").expect_error(404);
    let mut alice = server.subscriber(&["a"]);
    alice.send(r#"{"event":"panic"}"#);
    alice.expect_nothing();
}
