//! How many connections there may be, which ones are evicted for new ones, and file descriptors.

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raise_file_limit;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::token;

#[test]
fn full_server_refuses_upgrades_and_answers_plain_http() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "2")]);
    let mut alice = server.subscriber(&["a"]);
    let bob = server.subscriber(&["a"]);
    let refusal = server.ask(HANDSHAKE);
    refusal.expect_error(503);
    let wait = refusal.header("retry-after").expect("Retry-After");
    assert!(wait.parse::<u32>().is_ok(), "not seconds: {wait}");
    server
        .get("/readyz")
        .expect_json(503, r#"{"status":"full"}"#);
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
    assert_eq!(server.get("/info.json").status, 200);
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 2);
    alice.expect(r#"{"n":1}"#);
    assert_eq!(server.stats().connected, 2);
    bob.leave();
    let mut carol = server.raw_when_free();
    carol.expect_nothing();
}

#[test]
fn idle_http_connections_are_evicted_for_a_subscriber() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "8")]);
    let mut idle: Vec<_> = (0..8).map(|_| server.http()).collect();
    for http in &mut idle {
        http.get("/healthz");
    }
    let mut alice = server.subscriber(&["a"]);
    alice.expect_nothing();
    let is_served = |http: &mut Http| {
        let asked = http.try_send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        asked && http.try_response().is_some()
    };
    let served = idle.iter_mut().map(is_served).filter(|is| *is).count();
    assert!((1..8).contains(&served), "{served} of 8 are still open");
}

#[test]
fn unauthenticated_websockets_are_evicted_for_a_subscriber() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "2"),
        ("BIFROST_AUTH_TIMEOUT", "60s"),
    ]);
    let mut alice = server.subscriber(&["a"]);
    let mut stranger = server.raw();
    stranger.expect_nothing();
    let mut bob = server.subscriber(&["a"]);
    assert_eq!(stranger.expect_close(1013), "Server is full");
    stranger.expect_end();
    // Authenticated subscribers are never evicted, and no other connection is left.
    server.ask(HANDSHAKE).expect_error(503);
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 2);
    alice.expect(r#"{"n":1}"#);
    bob.expect(r#"{"n":1}"#);
    server.wait_connected(2);
}

#[test]
fn flood_of_idle_connections_does_not_block_new_ones() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "4")]);
    let mut alice = server.subscriber(&["a"]);
    let _flood: Vec<_> = (0..100).map(|_| server.http()).collect();
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 1);
    alice.expect(r#"{"n":1}"#);
    server.subscriber(&["a"]).expect_nothing();
}

#[test]
fn reserve_of_16_answers_plain_http_beyond_the_limit() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "2")]);
    let _subscribers = [server.subscriber(&["a"]), server.subscriber(&["a"])];
    let mut reserve: Vec<_> = (0..16).map(|_| server.http()).collect();
    for _ in 0..2 {
        for http in &mut reserve {
            http.get("/healthz").expect_json(200, r#"{"status":"ok"}"#);
        }
    }
    // One more gets an error or is closed; either way the others are still served.
    server
        .http()
        .try_send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    reserve[15]
        .get("/readyz")
        .expect_json(503, r#"{"status":"full"}"#);
    drop(reserve);
    eventually("the reserve is free again", || {
        let mut http = server.http();
        (http.try_send(HANDSHAKE) && http.try_response()?.status == 503).then_some(())
    });
}

#[test]
fn readyz_is_ok_again_after_a_disconnect() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "4")]);
    let mut subscribers: Vec<_> = (0..4).map(|_| server.subscriber(&["a"])).collect();
    server
        .get("/readyz")
        .expect_json(503, r#"{"status":"full"}"#);
    subscribers.truncate(1);
    let ready = eventually("readyz is ok", || {
        Some(server.get("/readyz")).filter(|response| response.status == 200)
    });
    ready.expect_json(200, r#"{"status":"ok"}"#);
}

#[test]
fn server_recovers_from_running_out_of_file_descriptors() {
    raise_file_limit();
    // So few that the file descriptors run out before the connection limit and its reserve do: the
    // 18th connection gets none unless an earlier one is evicted.
    let server = Launch::serve().descriptors(20).start();
    let mut clients: Vec<_> = (0..150).map(|_| server.http()).collect();
    // Accepted connections are served; there is no file descriptor left for the others.
    assert_eq!(clients[0].get("/healthz").status, 200);
    drop(clients);
    let mut alice = server.raw_when_free();
    alice.authenticate(&token::subscriber(&["a"]));
    alice.expect_confirmed(&["a"]);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
}

#[test]
fn default_connection_limit_fits_the_file_limit() {
    let server = Launch::serve().descriptors(80).start();
    let mut subscribers = Vec::new();
    // The server reports that it is full before it runs out of file descriptors.
    let refusal = loop {
        let mut http = server.http();
        http.send(HANDSHAKE);
        let response = http.response();
        if response.status != 101 {
            break response;
        }
        let mut subscriber = RawSocket { http };
        subscriber.authenticate(&token::subscriber(&["a"]));
        subscriber.expect_confirmed(&["a"]);
        subscribers.push(subscriber);
        assert!(subscribers.len() < 80, "more connections than files");
    };
    refusal.expect_error(503);
    assert!(
        !subscribers.is_empty(),
        "not a single subscriber fits into 80 files"
    );
    server
        .get("/readyz")
        .expect_json(503, r#"{"status":"full"}"#);
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
