//! What Prometheus is told after journeys whose end is known.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;

use crate::support::exposition::Scrape;
use crate::support::raw::{BINARY, CLOSE, HANDSHAKE, TEXT, close_payload};
use crate::support::server::Server;
use crate::support::token;
use crate::support::watched::Watched;

/// What was counted under each label, as the page shows it.
fn counts<'a>(pairs: &[(&'a str, u64)]) -> BTreeMap<&'a str, u64> {
    pairs.iter().copied().collect()
}

#[test]
fn every_metric_is_in_the_documentation_and_the_other_way_round() {
    let readme = include_str!("../../README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<_> = rows
        .flat_map(|row| row.split("` |").next().unwrap_or_default().split("`, `"))
        .map(|name| name.split('{').next().unwrap_or_default())
        .filter(|name| name.starts_with("bifrost_") || name.starts_with("process_"))
        .collect();
    let scrape = Watched::start().scrape();
    let told: Vec<_> = scrape
        .families()
        .iter()
        .map(|family| &*family.name)
        .collect();
    for name in &told {
        assert!(documented.contains(name), "{name} is not in the README");
    }
    for name in &documented {
        assert!(told.contains(name), "{name} is only in the README");
    }
}

#[test]
fn version_and_process_are_told() {
    let server = Watched::start();
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
    let of_kernel = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files");
    let open = scrape.value("process_open_fds");
    // The connection that asked may still be there, or not.
    assert!((of_kernel.count() as f64 - open).abs() <= 2.0, "{open}");
    assert!(scrape.value("process_max_fds") >= open);
    assert!(scrape.value("process_threads") >= 4.0);
}

#[test]
fn broadcasts_are_counted_by_result_with_their_deliveries_and_bytes() {
    let server = Watched::start();
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
    server.get("/broadcast").expect_error(405); // asks for nothing to be sent
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
fn subscribers_are_counted_while_they_are_here() {
    let server = Watched::start();
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
    let scrape = server.scrape_until("everybody has left", |scrape| {
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

/// Ends a connection with a close frame, to which the server answers.
fn close_with(server: &Server, payload: &[u8]) {
    let mut raw = server.raw_subscriber(&["a"]);
    raw.send(CLOSE, payload);
    assert_eq!(raw.next().first, CLOSE);
    raw.expect_end();
}

#[test]
fn closed_connections_are_counted_by_the_code_of_either_side() {
    let server = Watched::start();
    close_with(&server, &close_payload(1000, "bye"));
    close_with(&server, &close_payload(1001, ""));
    close_with(&server, &close_payload(4999, ""));
    close_with(&server, &close_payload(999, "")); // which nobody may send: 1002
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
fn who_shows_no_token_in_time_is_counted() {
    let server = Watched::with(&[("BIFROST_AUTH_TIMEOUT", "400ms")]);
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

/// Tokens that are not taken, and why.
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
fn refused_tokens_are_counted_by_reason_and_the_sender_never_learns_it() {
    let server = Watched::start();
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
fn who_is_turned_away_is_counted_by_reason() {
    let server = Watched::with(&[
        ("BIFROST_MAX_CONNECTIONS", "1"),
        ("BIFROST_ALLOWED_ORIGINS", "https://good.example"),
    ]);
    server.get("/subscribe").expect_error(426);
    let foreign = HANDSHAKE.replace("Host: x", "Host: x\r\nOrigin: https://evil.example");
    server.ask(foreign).expect_error(403);
    server.scrape_until("both have left", |scrape| {
        scrape.value("bifrost_connections") == 0.0
    });
    let _alice = server.raw();
    let scrape = server.scrape();
    assert_eq!(
        scrape.counted("bifrost_connections_rejected_total"),
        counts(&[("handshake", 1), ("origin", 1)])
    );
    assert_eq!(scrape.value("bifrost_connections_limit"), 1.0);
    // Somebody without a token makes room; who has shown one does not.
    let mut bob = server.raw_subscriber(&["a"]);
    bob.expect_nothing();
    server.ask(HANDSHAKE).expect_error(503);
    let scrape = server.scrape_until("the one who made room has left", |scrape| {
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
fn too_many_of_one_address_are_counted_and_the_scraper_is_none_of_them() {
    let server = Watched::with(&[("BIFROST_MAX_CONNECTIONS_PER_IP", "1")]);
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
fn silent_and_slow_subscribers_are_counted_and_what_waits_for_them() {
    let server = Watched::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
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
    let server = Watched::with(&[("BIFROST_WRITE_TIMEOUT", "2s")]);
    let _slow = server.narrow_subscriber(&["a"]);
    let message = format!(r#"{{"fill":"{}"}}"#, "x".repeat(64 * 1024));
    let mut most = 0.0;
    while server.broadcast("a", &message) > 0 {
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
fn what_clients_say_is_counted() {
    let server = Watched::start();
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
