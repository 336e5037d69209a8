//! Eviction at the connection limit: idle and unauthenticated connections are closed, the longest
//! idle first.

use std::time::Duration;

use crate::support::http::Http;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::token;
use crate::tools::proc_stats::wait_asleep;

const LIMIT: usize = 10;

/// A server with ten connections, where only an eviction closes one.
fn small_server() -> Server {
    Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "10"),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_IDLE_TIMEOUT", "10m"),
        ("BIFROST_AUTH_TIMEOUT", "10m"),
    ])
}

/// A keep-alive connection after its first request.
fn idle(server: &Server) -> Http {
    let mut http = server.http();
    assert_eq!(http.get("/healthz").status, 200);
    http
}

fn is_open(http: &mut Http) -> bool {
    !http.is_closed_within(Duration::from_millis(100))
}

/// Asserts that a server full of subscribers rejects another one, and evicts none of them.
#[track_caller]
fn expect_full_of_subscribers(server: &Server, mut subscribers: Vec<RawSocket>) {
    for _ in 0..3 {
        let rejection = server.ask(HANDSHAKE);
        rejection.expect_error(503);
        assert!(rejection.header("retry-after").is_some(), "{rejection:?}");
    }
    assert_eq!(server.broadcast("a", "{}"), subscribers.len() as u64);
    for raw in &mut subscribers {
        raw.expect_text("{}");
        raw.expect_nothing();
    }
}

#[test]
fn idle_connections_are_evicted_for_subscribers() {
    let server = small_server();
    let mut idle: Vec<_> = (0..LIMIT).map(|_| idle(&server)).collect();
    let subscribers: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    for http in &mut idle {
        http.expect_closed();
    }
    expect_full_of_subscribers(&server, subscribers);
}

#[test]
fn unauthenticated_connections_are_evicted_for_subscribers() {
    let server = small_server();
    let mut unauthenticated: Vec<_> = (0..LIMIT).map(|_| server.raw()).collect();
    let subscribers: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    server.wait_connected(LIMIT as u64);
    for raw in &mut unauthenticated {
        raw.http.drain();
    }
    expect_full_of_subscribers(&server, subscribers);
}

#[test]
fn longest_idle_connection_is_evicted_first() {
    let server = small_server();
    let mut idle: Vec<_> = (0..LIMIT)
        .map(|_| {
            let http = idle(&server);
            // The response arrives a moment before the server marks the connection idle.
            wait_asleep(&server);
            http
        })
        .collect();
    // The first one sends another request, and so is the one idle for the shortest time.
    assert_eq!(idle[0].get("/healthz").status, 200);
    wait_asleep(&server);
    let mut alice = server.raw_subscriber(&["a"]);
    idle[1].expect_closed();
    for (number, http) in idle.iter_mut().enumerate().skip(2) {
        assert!(is_open(http), "number {number} is evicted too");
    }
    assert_eq!(idle[0].get("/healthz").status, 200);
    alice.expect_nothing();
}

#[test]
fn active_requests_and_subscribers_are_not_evicted() {
    let server = small_server();
    let mut subscribers: Vec<_> = (0..4).map(|_| server.raw_subscriber(&["a"])).collect();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", r#"{"n":1}"#));
    let (half, rest) = body.split_at(20);
    let length = body.len();
    let mut active: Vec<_> = (0..4)
        .map(|_| {
            let mut http = server.http();
            let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length:";
            http.send(format!("{head} {length}\r\n\r\n{half}"));
            http
        })
        .collect();
    // Many short connections, for which two permits and the reserved ones are left.
    for _ in 0..50 {
        idle(&server);
        server.ask(HANDSHAKE);
    }
    for http in &mut active {
        assert_eq!(http.send(rest).response().status, 200);
    }
    for raw in &mut subscribers {
        (0..4).for_each(|_| raw.expect_text(r#"{"n":1}"#));
        raw.expect_nothing();
    }
}

#[test]
fn many_idle_connections_block_no_subscriber() {
    let server = small_server();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut idle: Vec<_> = (0..200).map(|_| idle(&server)).collect();
    let mut bob = server.raw_subscriber(&["a"]);
    assert_eq!(server.broadcast("a", "{}"), 2);
    alice.expect_text("{}");
    bob.expect_text("{}");
    let open = idle
        .iter_mut()
        .filter_map(|http| is_open(http).then_some(()));
    assert!(
        open.count() <= LIMIT + 16,
        "more are open than the limit allows"
    );
    alice.expect_nothing();
    bob.expect_nothing();
}
