//! A panic in one connection, which a build with `--features provoke-panic` lets a client cause:
//! it ends that connection alone, and is logged and counted.

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::raw::RawSocket;
use crate::support::server::Server;
use crate::support::token;
use crate::tools::proc_stats::{ProcStats, wait_shrunk};
use crate::tools::publisher::Publisher;

/// Makes the thread of a request panic.
fn panic_over_http(server: &Server) {
    let mut http: Http = server.http();
    http.send("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n");
    let rest = http.until_end();
    assert!(
        !rest.starts_with(b"HTTP/1.1 404"),
        "the server does not panic: build with --features provoke-panic"
    );
}

/// Makes the thread of a WebSocket connection panic, and waits for the connection's end.
fn panic_over_websocket(mut raw: RawSocket) {
    raw.send_text(r#"{"event":"panic"}"#);
    raw.http.until_end();
}

fn panics(server: &Server) -> u64 {
    let info = server.stats().info;
    info["stats"]["panics"]
        .as_u64()
        .unwrap_or_else(|| panic!("no panics in {info}"))
}

/// Waits until so many panics are counted and logged, and asserts that no more are counted.
#[track_caller]
fn expect_panics(server: &Server, count: u64) {
    eventually("the panics are counted", || {
        (panics(server) >= count).then_some(())
    });
    assert_eq!(panics(server), count);
    eventually("the panics are logged", || {
        let log = server.stderr.so_far();
        let lines = log.iter().filter(|line| line.contains("panic place=src/"));
        (lines.count() as u64 >= count).then_some(())
    });
}

#[test]
fn panic_in_a_request_is_logged_once_and_counted() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    assert_eq!(panics(&server), 0);
    panic_over_http(&server);
    expect_panics(&server, 1);
    let log = server.stderr.so_far();
    let lines = log.iter().filter(|line| line.contains("panic place="));
    assert_eq!(lines.count(), 1, "{log:#?}");
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
    alice.expect_nothing();
}

#[test]
fn panic_in_a_subscriber_leaves_exact_counts() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    panic_over_websocket(server.raw_subscriber(&["a", "b"]));
    server.wait_connected(1);
    expect_panics(&server, 1);
    let stats = server.stats().info["stats"].clone();
    assert_eq!(stats["channels"], 1, "{stats}");
    assert_eq!(stats["subscriptions"], 1, "{stats}");
    assert_eq!(server.broadcast("a", "{}"), 1);
    assert_eq!(server.broadcast("b", "{}"), 0);
    alice.expect_text("{}");
    alice.expect_nothing();
}

#[test]
fn panic_in_an_unauthenticated_connection_leaves_exact_counts() {
    let server = Server::start();
    panic_over_websocket(server.raw());
    server.wait_connected(0);
    expect_panics(&server, 1);
    server.raw_subscriber(&["a"]).expect_nothing();
}

#[test]
fn many_panics_leak_nothing_and_disturb_no_subscriber() {
    const ROUNDS: u64 = 30;
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "20")]);
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let before = ProcStats::of(&server);
    for _ in 0..ROUNDS {
        panic_over_http(&server);
        panic_over_websocket(server.raw_when_free());
        let mut bob = server.raw_when_free();
        bob.authenticate(&token::subscriber(&["b"]));
        bob.expect_confirmed(&["b"]);
        panic_over_websocket(bob);
        let message = publisher.next_message();
        assert_eq!(publisher.post_with_retry(), 1);
        alice.expect_text(&message);
    }
    server.wait_connected(1);
    eventually("the panics are counted", || {
        (panics(&server) == 3 * ROUNDS).then_some(())
    });
    wait_shrunk(&server, before);
    alice.expect_nothing();
}
