//! Room is made at the connection limit: who is only connected goes, the longest idle first.

use std::time::Duration;

use crate::support::http::Http;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::token;
use crate::tools::vitals::wait_asleep;

const LIMIT: usize = 10;

/// A server where nothing but the want of room ends a connection.
fn small_server() -> Server {
    Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "10"),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_IDLE_TIMEOUT", "10m"),
        ("BIFROST_AUTH_TIMEOUT", "10m"),
    ])
}

/// A connection that has asked once, and may ask again.
fn idle(server: &Server) -> Http {
    let mut http = server.http();
    assert_eq!(http.get("/healthz").status, 200);
    http
}

fn is_open(http: &mut Http) -> bool {
    !http.is_closed_within(Duration::from_millis(100))
}

/// The server is full of subscribers: nobody is left to make room, and they are told so.
#[track_caller]
fn expect_full_of_subscribers(server: &Server, mut inside: Vec<RawSocket>) {
    for _ in 0..3 {
        let refusal = server.ask(HANDSHAKE);
        refusal.expect_error(503);
        assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    }
    assert_eq!(server.broadcast("a", "{}"), inside.len() as u64);
    for raw in &mut inside {
        raw.expect_text("{}");
        raw.expect_nothing();
    }
}

#[test]
fn idle_connections_make_room_for_subscribers() {
    let server = small_server();
    let mut idle: Vec<_> = (0..LIMIT).map(|_| idle(&server)).collect();
    let inside: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    for http in &mut idle {
        http.expect_closed();
    }
    expect_full_of_subscribers(&server, inside);
}

#[test]
fn strangers_make_room_for_subscribers() {
    let server = small_server();
    let mut strangers: Vec<_> = (0..LIMIT).map(|_| server.raw()).collect();
    let inside: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    server.wait_connected(LIMIT as u64);
    for stranger in &mut strangers {
        stranger.http.drain();
    }
    expect_full_of_subscribers(&server, inside);
}

#[test]
fn longest_idle_goes_first() {
    let server = small_server();
    let mut idle: Vec<_> = (0..LIMIT)
        .map(|_| {
            let http = idle(&server);
            // An answer comes a moment before the one who gave it is idle.
            wait_asleep(&server);
            http
        })
        .collect();
    // The first one asks again, and so is the youngest.
    assert_eq!(idle[0].get("/healthz").status, 200);
    wait_asleep(&server);
    let mut inside = server.raw_subscriber(&["a"]);
    idle[1].expect_closed();
    for (number, http) in idle.iter_mut().enumerate().skip(2) {
        assert!(is_open(http), "number {number} is gone too");
    }
    assert_eq!(idle[0].get("/healthz").status, 200);
    inside.expect_nothing();
}

#[test]
fn requests_under_way_and_subscribers_stay() {
    let server = small_server();
    let mut inside: Vec<_> = (0..4).map(|_| server.raw_subscriber(&["a"])).collect();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", r#"{"n":1}"#));
    let (half, rest) = body.split_at(20);
    let length = body.len();
    let mut under_way: Vec<_> = (0..4)
        .map(|_| {
            let mut http = server.http();
            let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length:";
            http.send(format!("{head} {length}\r\n\r\n{half}"));
            http
        })
        .collect();
    // Many come and go, for whom there are two places and the reserve.
    for _ in 0..50 {
        idle(&server);
        server.ask(HANDSHAKE);
    }
    for http in &mut under_way {
        assert_eq!(http.send(rest).response().status, 200);
    }
    for raw in &mut inside {
        (0..4).for_each(|_| raw.expect_text(r#"{"n":1}"#));
        raw.expect_nothing();
    }
}

#[test]
fn crowd_of_idle_connections_shuts_nobody_out() {
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
    assert!(open.count() <= LIMIT + 16, "more are open than may be");
    alice.expect_nothing();
    bob.expect_nothing();
}
