//! Routes, methods, and consecutive requests on one connection.

use std::time::Duration;

use crate::support::http::Http;
use crate::support::server::{Server, deliveries, post};
use crate::support::token;

#[test]
fn unknown_path_is_404() {
    let server = Server::start();
    for target in [
        "/nowhere",
        "/broadcast/more",
        "/info",
        "/subscribe.json",
        "/healthzz",
    ] {
        server.get(target).expect_error(404);
    }
    server
        .post("/nowhere", "application/json", "{}")
        .expect_error(404);
}

#[test]
fn known_path_with_another_method_is_405_and_says_what_is_allowed() {
    let server = Server::start();
    for path in ["/", "/info.json", "/healthz", "/readyz", "/subscribe"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let response = server.ask(request);
            response.expect_error(405);
            assert!(
                response.lists("allow", "GET"),
                "{method} {path}: {response:?}"
            );
            assert!(
                !response.lists("allow", method),
                "{method} {path}: {response:?}"
            );
        }
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = server.ask(format!("{method} /broadcast HTTP/1.1\r\nHost: x\r\n\r\n"));
        response.expect_error(405);
        assert!(
            response.lists("allow", "POST") && !response.lists("allow", "GET"),
            "{response:?}"
        );
    }
}

#[test]
fn methods_are_case_sensitive() {
    let server = Server::start();
    server
        .ask("get /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect_error(405);
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let mut http = server.http();
    for target in ["/", "/info.json", "/healthz", "/readyz"] {
        let got = http.get(target);
        let head = http
            .send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .head();
        assert_eq!((head.status, got.status), (200, 200), "{target}");
        for name in ["content-type", "transfer-encoding"] {
            assert_eq!(head.header(name), got.header(name), "{target}");
        }
    }
    let got = http.get("/healthz");
    let head = http
        .send("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .head();
    assert_eq!(head.header("content-length"), got.header("content-length"));
    assert_eq!(
        http.get("/healthz").status,
        200,
        "a body came after the HEAD"
    );
}

#[test]
fn head_of_an_error_has_no_body_either() {
    let server = Server::start();
    for (target, status) in [("/nowhere", 404), ("/broadcast", 405), ("/subscribe", 426)] {
        let mut http = server.http();
        http.send(format!(
            "HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(http.head().status, status, "{target}");
        http.expect_closed();
    }
}

#[test]
fn trailing_slash_is_tolerated() {
    let server = Server::start();
    for target in ["/healthz/", "/readyz/", "/info.json/"] {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
    let token = token::publisher("a", "{}");
    let body = format!(r#"{{"token":"{token}"}}"#);
    assert_eq!(
        deliveries(&server.post("/broadcast/", "application/json", body)),
        0
    );
    server.get("/subscribe/").expect_error(426);
}

#[test]
fn query_string_is_ignored() {
    let server = Server::start();
    for target in [
        "/?a=b",
        "/healthz?",
        "/readyz?x",
        "/info.json?a=1&b=2",
        "/healthz/?a=/nowhere",
    ] {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let response = server.post("/broadcast?token=other", "application/json", body);
    assert_eq!(deliveries(&response), 0);
    server
        .post("/broadcast?token=x", "application/json", "{}")
        .expect_error(400);
}

#[test]
fn absolute_form_target_is_understood() {
    let server = Server::start();
    server
        .get("http://example.com/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
    server
        .get("http://example.com:8080/healthz?q")
        .expect_json(200, r#"{"status":"ok"}"#);
    assert_eq!(server.get("http://example.com").status, 200);
    server.get("http://example.com/nowhere").expect_error(404);
}

#[test]
fn connection_is_kept_alive_between_requests() {
    let server = Server::start();
    let mut http = server.http();
    for _ in 0..3 {
        http.get("/healthz").expect_json(200, r#"{"status":"ok"}"#);
        http.get("/nowhere").expect_error(404);
        let token = token::publisher("a", r#"{"n":1}"#);
        http.send(post(
            "/broadcast",
            "application/json",
            format!(r#"{{"token":"{token}"}}"#),
        ));
        assert_eq!(deliveries(&http.response()), 0);
        http.send(post("/broadcast", "application/json", "{}"));
        http.response().expect_error(400);
    }
}

#[test]
fn connection_close_is_honoured() {
    let server = Server::start();
    let mut http = server.http();
    http.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(http.response().status, 200);
    http.expect_closed();
    let mut http = server.http();
    http.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n");
    assert_eq!(http.response().status, 200);
    http.expect_closed();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut http = server.http();
    let token = token::publisher("a", "{}");
    let mut requests = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    requests.extend(post(
        "/broadcast",
        "application/json",
        format!(r#"{{"token":"{token}"}}"#),
    ));
    requests.extend(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    requests.extend(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    requests.extend(b"GET /info.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    http.send(requests);
    http.response().expect_json(200, r#"{"status":"ok"}"#);
    assert_eq!(deliveries(&http.response()), 0);
    http.response().expect_error(404);
    assert_eq!(http.head().status, 200);
    assert!(http.response().text().starts_with(r#"{"stats":"#));
    http.expect_closed();
}

#[test]
fn hundreds_of_pipelined_requests_are_all_answered() {
    let server = Server::start();
    let mut http = server.http();
    http.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300));
    for _ in 0..300 {
        http.response().expect_json(200, r#"{"status":"ok"}"#);
    }
}

#[test]
fn request_may_arrive_byte_by_byte() {
    let server = Server::start();
    let mut http = server.http();
    let token = token::publisher("a", "{}");
    for byte in post(
        "/broadcast",
        "application/json",
        format!(r#"{{"token":"{token}"}}"#),
    ) {
        http.send([byte]);
    }
    assert_eq!(deliveries(&http.response()), 0);
}

#[test]
fn body_of_a_get_does_not_confuse_the_next_request() {
    let server = Server::start();
    let mut http = server.http();
    http.send("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(http.response().status, 200);
    // The server may close the connection; if it does not, the second response must be right.
    if http.try_send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        && !http.is_closed_within(Duration::from_millis(200))
    {
        http.response().expect_json(200, r#"{"status":"ok"}"#);
    }
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = Server::start();
    let mut http = server.http();
    http.send("GET /healthz HTTP/1.0\r\n\r\n");
    http.response().expect_json(200, r#"{"status":"ok"}"#);
    http.expect_closed();
}

#[test]
fn http_1_0_is_kept_alive_on_request() {
    let server = Server::start();
    let mut http = server.http();
    for _ in 0..2 {
        http.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = http.response();
        response.expect_json(200, r#"{"status":"ok"}"#);
        assert!(response.lists("connection", "keep-alive"), "{response:?}");
    }
    http.send("GET /healthz HTTP/1.0\r\n\r\n").response();
    http.expect_closed();
}

#[test]
fn http_1_0_can_broadcast() {
    let server = Server::start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let length = body.len();
    let mut http = server.http();
    http.send(format!(
        "POST /broadcast HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let response = http.response();
    assert_eq!(
        response.header("transfer-encoding"),
        None,
        "HTTP/1.0 knows no chunks"
    );
    assert_eq!(deliveries(&response), 0);
    http.expect_closed();
}

/// Sends a head, then the body once the server has sent 100 Continue.
fn continue_with(http: &mut Http, head: &str, body: &[u8]) {
    http.send(head);
    let interim = http.response();
    assert_eq!(
        (interim.status, interim.version.as_str()),
        (100, "HTTP/1.1")
    );
    assert_eq!(interim.headers, [], "a 100 that says more than continue");
    http.send(body);
}

#[test]
fn expect_100_continue_is_answered_before_the_body_comes() {
    let server = Server::start();
    let mut http = server.http();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let length = body.len();
    for expectation in ["100-continue", "100-Continue"] {
        let head = format!(
            "POST /broadcast HTTP/1.1\r\nHost: x\r\nExpect: {expectation}\r\nContent-Length: {length}\r\n\r\n"
        );
        continue_with(&mut http, &head, body.as_bytes());
        assert_eq!(deliveries(&http.response()), 0);
    }
}

#[test]
fn expect_100_continue_works_with_a_chunked_body() {
    let server = Server::start();
    let mut http = server.http();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    continue_with(&mut http, head, chunks.as_bytes());
    assert_eq!(deliveries(&http.response()), 0);
}

#[test]
fn body_over_the_limit_is_refused_instead_of_continued() {
    let server = Server::start();
    let mut http = server.http();
    http.send("POST /broadcast HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
    http.response().expect_error(413);
    http.expect_closed();
}

#[test]
fn body_in_the_same_packet_as_the_expectation_is_read() {
    let server = Server::start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let length = body.len();
    let mut http = server.http();
    http.send(format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let mut response = http.response();
    if response.status == 100 {
        response = http.response();
    }
    assert_eq!(deliveries(&response), 0);
}

/// A broadcast whose body consists of these chunks, byte for byte.
fn chunked(chunks: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

#[test]
fn chunked_bodies_are_put_together() {
    let server = Server::start();
    let mut http = server.http();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let (first, second) = body.split_at(10);
    let (one, two) = (first.len(), second.len());
    let whole = body.len();
    for chunks in [
        format!("{whole:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("{one:X}\r\n{first}\r\n{two:X}\r\n{second}\r\n0\r\n\r\n"),
        format!("{one:x};ext=1\r\n{first}\r\n{two:x};a;b=\"c\"\r\n{second}\r\n0;last\r\n\r\n"),
        format!("{one:x}\r\n{first}\r\n{two:x}\r\n{second}\r\n0\r\nTrailer: x\r\nMore: y\r\n\r\n"),
        format!("0000{whole:x}\r\n{body}\r\n000\r\n\r\n"),
        body.chars()
            .map(|c| format!("1\r\n{c}\r\n"))
            .collect::<String>()
            + "0\r\n\r\n",
    ] {
        http.send(chunked(&chunks));
        assert_eq!(deliveries(&http.response()), 0, "{chunks}");
    }
    assert_eq!(http.get("/healthz").status, 200);
}

#[test]
fn name_of_the_transfer_encoding_is_case_insensitive() {
    let server = Server::start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let whole = body.len();
    let response = server.ask(format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n{whole:x}\r\n{body}\r\n0\r\n\r\n"
    ));
    assert_eq!(deliveries(&response), 0);
}

#[test]
fn empty_chunked_body_is_an_empty_body() {
    let server = Server::start();
    let mut http = server.http();
    http.send(chunked("0\r\n\r\n"));
    http.response().expect_error(400);
    assert_eq!(http.get("/healthz").status, 200, "the connection stays");
}

#[test]
fn clients_that_disconnect_midway_do_not_disturb_the_server() {
    let server = Server::start();
    for request in [
        "",
        "G",
        "GET /healthz HTTP/1.1\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut http = server.http();
        http.send(request);
        http.reset();
        server.http().send(request);
    }
    let mut http = server.http();
    http.send("GET /info.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
    http.reset();
    assert_eq!(server.get("/healthz").status, 200);
}
