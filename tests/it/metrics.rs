//! The values of the metrics after connections and broadcasts with a known outcome.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use jsonwebtoken::Algorithm;

use crate::support::DEADLINE;
use crate::support::prometheus_text::Scrape;
use crate::support::raw::{BINARY, CLOSE, HANDSHAKE, TEXT, close_payload};
use crate::support::server::Server;
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::support::token;

/// Expected counts by label, as `Scrape::counted` returns them.
fn counts<'a>(pairs: &[(&'a str, u64)]) -> BTreeMap<&'a str, u64> {
    pairs.iter().copied().collect()
}

#[test]
fn documentation_lists_exactly_the_metrics_that_are_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/operating.md");
    let page = fs::read_to_string(path).expect("read the page of the manual");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<_> = rows
        .flat_map(|row| row.split("` |").next().unwrap_or_default().split("`, `"))
        .map(|name| name.split('{').next().unwrap_or_default())
        .filter(|name| name.starts_with("bifrost_") || name.starts_with("process_"))
        .collect();
    let scrape = ServerWithMetrics::start().scrape();
    let told: Vec<_> = scrape
        .families()
        .iter()
        .map(|family| &*family.name)
        .collect();
    for name in &told {
        assert!(documented.contains(name), "{name} is not in the manual");
    }
    for name in &documented {
        assert!(told.contains(name), "{name} is only in the manual");
    }
}

#[test]
fn version_and_process_metrics_are_served() {
    let server = ServerWithMetrics::start();
    let scrape = server.scrape();
    let version = server.get("/info.json").json()["version"].clone();
    let version = version.as_str().expect("a version");
    assert_eq!(
        scrape.labelled("bifrost_build_info", "version", version),
        1.0
    );
    let age = token::now() as f64 - scrape.value("process_start_time_seconds");
    assert!((-2.0..3600.0).contains(&age), "{age}");
    let again = server.scrape().value("process_start_time_seconds");
    assert_eq!(again, scrape.value("process_start_time_seconds"));
    assert!(scrape.value("process_resident_memory_bytes") > 1e6);
    let of_kernel = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files");
    let open = scrape.value("process_open_fds");
    // The connection of the scrape may be open or closed by now.
    assert!((of_kernel.count() as f64 - open).abs() <= 2.0, "{open}");
    assert!(scrape.value("process_max_fds") >= open);
    assert!(scrape.value("process_threads") >= 4.0);
}

#[test]
fn broadcasts_are_counted_by_result_with_their_deliveries_and_bytes() {
    let server = ServerWithMetrics::start();
    let mut alice = server.subscriber(&["a", "b"]);
    let _bob = server.subscriber(&["a"]);
    let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(1000));
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 2);
    assert_eq!(server.broadcast("b", &long), 1);
    assert_eq!(server.broadcast("nobody", "{}"), 0);
    server.post_token("forged").expect_error(400);
    server
        .post("/broadcast", "application/json", "[]")
        .expect_error(400);
    server.get("/broadcast").expect_error(405); // not a broadcast
    alice.expect(r#"{"n":1}"#);
    let scrape = server.scrape();
    assert_eq!(
        scrape.counted("bifrost_broadcasts_total"),
        counts(&[("sent", 3), ("bad_request", 2)])
    );
    assert_eq!(
        scrape.value("bifrost_broadcast_duration_seconds_count"),
        5.0
    );
    assert!(scrape.value("bifrost_broadcast_duration_seconds_sum") > 0.0);
    assert_eq!(scrape.value("bifrost_deliveries_total"), 3.0);
    // A frame's header has two bytes, and two more when the payload is over 125.
    let bytes = 2 * (2 + 7) + (4 + long.len());
    assert_eq!(scrape.value("bifrost_delivered_bytes_total"), bytes as f64);
    assert_eq!(
        scrape.counted("bifrost_http_requests_total"),
        counts(&[("101", 2), ("200", 3), ("400", 2), ("405", 1)])
    );
}

#[test]
fn subscribers_are_counted_while_they_are_connected() {
    let server = ServerWithMetrics::start();
    let alice = server.subscriber(&["a", "b"]);
    let bob = server.subscriber(&["a"]);
    let scrape = server.scrape();
    for (name, value) in [
        ("bifrost_websockets", 2.0),
        ("bifrost_channels", 2.0),
        ("bifrost_subscriptions", 3.0),
        ("bifrost_connections", 2.0),
        ("bifrost_connections_accepted_total", 2.0),
        ("bifrost_draining", 0.0),
    ] {
        assert_eq!(scrape.value(name), value, "{name}");
    }
    assert!(scrape.value("bifrost_connections_limit") >= 2.0);
    alice.leave();
    bob.leave();
    let scrape = server.scrape_until("every connection has ended", |scrape| {
        scrape.value("bifrost_connections") == 0.0
    });
    for name in [
        "bifrost_websockets",
        "bifrost_channels",
        "bifrost_subscriptions",
    ] {
        assert_eq!(scrape.value(name), 0.0, "{name}");
    }
    assert_eq!(scrape.value("bifrost_connections_accepted_total"), 2.0);
    assert_eq!(
        scrape.counted("bifrost_websockets_closed_total"),
        counts(&[("1005", 2)])
    );
}

/// Ends a connection with a close frame, which the server answers.
fn close_with(server: &Server, payload: &[u8]) {
    let mut raw = server.raw_subscriber(&["a"]);
    raw.send(CLOSE, payload);
    assert_eq!(raw.next().first, CLOSE);
    raw.expect_end();
}

#[test]
fn closed_connections_are_counted_by_the_code_of_either_side() {
    let server = ServerWithMetrics::start();
    close_with(&server, &close_payload(1000, "bye"));
    close_with(&server, &close_payload(1001, ""));
    close_with(&server, &close_payload(4999, ""));
    close_with(&server, &close_payload(999, "")); // not allowed on the wire: 1002
    close_with(&server, b"");
    server.raw_subscriber(&["a"]).http.reset();
    drop(server.raw());
    server
        .raw_subscriber(&["a"])
        .send(BINARY, "x")
        .expect_close(1003);
    server
        .raw_subscriber(&["a"])
        .send(TEXT, b"\xFF")
        .expect_close(1007);
    server.raw().authenticate("x").expect_close(4001);
    server
        .raw()
        .authenticate(&token::subscriber(&[""]))
        .expect_close(1008);
    server.wait_connected(0);
    let scrape = server.scrape();
    assert_eq!(
        scrape.counted("bifrost_websockets_closed_total"),
        counts(&[
            ("1000", 1),
            ("1001", 1),
            ("1002", 1),
            ("1003", 1),
            ("1005", 1),
            ("1007", 1),
            ("1008", 1),
            ("4001", 1),
            ("none", 2),
            ("other", 1),
        ])
    );
    assert_eq!(
        scrape.counted("bifrost_auth_failures_total"),
        counts(&[("malformed", 1)])
    );
}

#[test]
fn authentication_timeouts_are_counted() {
    let server = ServerWithMetrics::with(&[("BIFROST_AUTH_TIMEOUT", "400ms")]);
    server.raw().expect_close(4002);
    server.wait_connected(0);
    let scrape = server.scrape();
    for (name, label) in [
        ("bifrost_websockets_closed_total", "4002"),
        ("bifrost_auth_failures_total", "timeout"),
    ] {
        assert_eq!(scrape.counted(name), counts(&[(label, 1)]));
    }
    assert_eq!(server.stats().info["stats"]["rejected_tokens"], 0);
}

/// Tokens that are refused, and the reason under which they are counted.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let secret = token::SECRET.as_bytes();
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let (past, future) = (token::now() - 100, token::now() + 1000);
    let other = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    vec![
        ("malformed", "no token".into()),
        (
            "malformed",
            token::sign_parts("[]", b"{}", secret, Algorithm::HS512),
        ),
        (
            "algorithm",
            token::sign_with(Algorithm::HS256, secret, "{}"),
        ),
        ("signature", token::sign_with(Algorithm::HS512, other, "{}")),
        ("claims", token::sign("[]")),
        ("claims", token::sign(r#"{"exp":"soon"}"#)),
        ("expired", token::sign(&format!(r#"{{"exp":{past}}}"#))),
        (
            "not_yet_valid",
            token::sign(&format!(r#"{{"nbf":{future}}}"#)),
        ),
        ("too_deep", token::sign(&deep)),
    ]
}

#[test]
fn refused_tokens_are_counted_by_a_reason_that_the_client_is_not_told() {
    let server = ServerWithMetrics::start();
    for (number, (reason, token)) in bad_tokens().into_iter().enumerate() {
        let before = server.scrape();
        let count =
            |scrape: &Scrape| scrape.labelled("bifrost_auth_failures_total", "reason", reason);
        let answer = server.post_token(&token);
        match reason {
            "too_deep" => drop(answer.expect_error(400)),
            _ => answer.expect_json(400, r#"{"error":"Bad signature"}"#),
        }
        let mut mallory = server.connect();
        mallory.authenticate(&token);
        mallory.expect_close(4001, "Not Authorized!");
        let after = server.scrape();
        assert_eq!(count(&after), count(&before) + 2.0, "{reason}: {token}");
        let total: u64 = after.counted("bifrost_auth_failures_total").values().sum();
        assert_eq!(total, 2 * (number as u64 + 1));
    }
    for claims in ["{}", r#"{"channels":"a"}"#, r#"{"channels":[1]}"#] {
        let mut mallory = server.connect();
        mallory.authenticate(&token::sign(claims));
        mallory.expect_close(4001, "Not Authorized!");
    }
    let scrape = server.scrape();
    assert_eq!(
        scrape.labelled("bifrost_auth_failures_total", "reason", "channels"),
        3.0
    );
    let total: u64 = scrape.counted("bifrost_auth_failures_total").values().sum();
    assert_eq!(server.stats().info["stats"]["rejected_tokens"], total);
}

#[test]
fn rejected_connections_are_counted_by_reason() {
    let server = ServerWithMetrics::with(&[
        ("BIFROST_MAX_CONNECTIONS", "1"),
        ("BIFROST_ALLOWED_ORIGINS", "https://good.example"),
    ]);
    server.get("/subscribe").expect_error(426);
    let foreign = HANDSHAKE.replace("Host: x", "Host: x\r\nOrigin: https://evil.example");
    server.ask(foreign).expect_error(403);
    server.scrape_until("both connections have ended", |scrape| {
        scrape.value("bifrost_connections") == 0.0
    });
    let _alice = server.raw();
    let scrape = server.scrape();
    assert_eq!(
        scrape.counted("bifrost_connections_rejected_total"),
        counts(&[("handshake", 1), ("origin", 1)])
    );
    assert_eq!(scrape.value("bifrost_connections_limit"), 1.0);
    // An unauthenticated WebSocket is evicted, an authenticated one is not.
    let mut bob = server.raw_subscriber(&["a"]);
    bob.expect_nothing();
    server.ask(HANDSHAKE).expect_error(503);
    let scrape = server.scrape_until("the evicted connection has ended", |scrape| {
        scrape.value("bifrost_websockets") == 1.0
    });
    assert_eq!(
        scrape.counted("bifrost_connections_rejected_total"),
        counts(&[("full", 1), ("handshake", 1), ("origin", 1)])
    );
    assert!(scrape.value("bifrost_connections_evicted_total") >= 1.0);
    assert_eq!(
        scrape.counted("bifrost_websockets_closed_total"),
        counts(&[("1013", 1)])
    );
}

#[test]
fn connections_over_the_limit_of_their_address_are_counted_without_the_scraper() {
    let server = ServerWithMetrics::with(&[("BIFROST_MAX_CONNECTIONS_PER_IP", "1")]);
    let _alice = server.raw_subscriber(&["a"]);
    server.http().response().expect_error(503);
    let scrape = server.scrape();
    assert_eq!(
        scrape.counted("bifrost_connections_rejected_total"),
        counts(&[("per_address", 1)])
    );
    assert_eq!(
        scrape.counted("bifrost_http_requests_total"),
        counts(&[("101", 1), ("503", 1)])
    );
}

#[test]
fn silent_and_slow_subscribers_and_their_queues_are_counted() {
    let server = ServerWithMetrics::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let _silent = server.raw_subscriber(&["b"]);
    let scrape = server.scrape_until("the silent one is cut", |scrape| {
        scrape.value("bifrost_silent_subscribers_cut_total") == 1.0
            && scrape.value("bifrost_websockets") == 0.0
    });
    assert_eq!(
        scrape.counted("bifrost_websockets_closed_total"),
        counts(&[("none", 1)])
    );
    assert_eq!(scrape.value("bifrost_queue_bytes"), 0.0);
    let server = ServerWithMetrics::with(&[("BIFROST_WRITE_TIMEOUT", "2s")]);
    let _slow = server.narrow_subscriber(&["a"]);
    let message = format!(r#"{{"fill":"{}"}}"#, "x".repeat(64 * 1024));
    let (mut most, started) = (0.0, Instant::now());
    while server.broadcast("a", &message) > 0 {
        assert!(started.elapsed() < DEADLINE, "the slow one is never cut");
        let scrape = server.scrape();
        most = scrape.value("bifrost_queue_bytes").max(most);
        assert!(most <= scrape.value("bifrost_queue_limit_bytes"));
    }
    assert!(most > 0.0, "nothing ever waited");
    let scrape = server.scrape_until("the slow one is cut", |scrape| {
        scrape.value("bifrost_websockets") == 0.0
    });
    assert_eq!(scrape.value("bifrost_slow_subscribers_cut_total"), 1.0);
    assert_eq!(scrape.value("bifrost_queue_bytes"), 0.0);
}

#[test]
fn client_messages_are_counted_by_event() {
    let server = ServerWithMetrics::start();
    let mut alice = server.subscriber(&["a"]);
    for text in [r#"{"event":"hello"}"#, "nonsense", r#"{"event":"ping"}"#] {
        alice.send(text);
    }
    alice.next();
    alice.next();
    assert_eq!(
        server.scrape().counted("bifrost_client_messages_total"),
        counts(&[
            ("authenticate", 1),
            ("malformed", 1),
            ("other", 1),
            ("ping", 1)
        ])
    );
}

/// Requests to a full server, and the status that each is answered with.
fn requests_by_status() -> Vec<(&'static str, Vec<u8>)> {
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
    };
    let broadcast = |headers: &str, body: &str| {
        format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}")
    };
    let bare = r#"{"channel":"a","message":{}}"#;
    let length = format!("Content-Length: {}\r\n", bare.len());
    let publisher = token::sign(r#"{"broadcast":["b"]}"#);
    let forbidden = format!("{length}Authorization: Bearer {publisher}\r\n");
    let requests = [
        ("200", get("/healthz", "")),
        ("400", "nonsense\r\n\r\n".into()),
        ("401", broadcast(&length, bare)),
        ("403", broadcast(&forbidden, bare)),
        ("404", get("/nowhere", "")),
        ("405", get("/broadcast", "")),
        ("408", "GET /healthz HTTP/1.1\r\n".into()),
        ("413", broadcast("Content-Length: 2000000\r\n", "")),
        ("414", get(&format!("/{}", "x".repeat(9_000)), "")),
        ("417", get("/healthz", "Expect: something-else\r\n")),
        ("426", get("/subscribe", "")),
        ("431", get("/healthz", &"Name: value\r\n".repeat(101))),
        ("501", broadcast("Transfer-Encoding: gzip\r\n", "")),
        ("503", get("/readyz", "")),
        ("505", "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n".into()),
    ];
    requests
        .map(|(status, request)| (status, request.into()))
        .into()
}

#[test]
fn every_status_is_counted_under_its_own_code() {
    let server = ServerWithMetrics::with(&[
        ("BIFROST_MAX_CONNECTIONS", "1"),
        ("BIFROST_REQUEST_TIMEOUT", "400ms"),
    ]);
    let _alice = server.raw_subscriber(&["a"]);
    let mut expected = vec![("101", 1)];
    for (status, request) in requests_by_status() {
        let response = server.ask(request);
        assert_eq!(response.status.to_string(), status, "{}", response.text());
        expected.push((status, 1));
    }
    let scrape = server.scrape();
    let name = "bifrost_http_requests_total";
    assert_eq!(scrape.counted(name), counts(&expected));
    assert_eq!(scrape.labelled(name, "code", "other"), 0.0);
}
