//! The routes that tell how the server is: the page, the counts, health.

use serde_json::Value;

use crate::support::http::Http;
use crate::support::raw::HANDSHAKE;
use crate::support::server::Server;
use crate::support::{eventually, token};

#[test]
fn info_begins_with_deliveries_and_connected() {
    let server = Server::start();
    let response = server.get("/info.json");
    assert_eq!(response.status, 200);
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    );
    let text = response.text();
    assert!(
        text.starts_with(r#"{"stats":{"deliveries":0,"connected":0"#),
        "{text}"
    );
    assert!(response.json()["stats"].is_object());
}

#[test]
fn info_counts_deliveries_and_connections_exactly() {
    let server = Server::start();
    let counts = || {
        let stats = server.stats();
        (stats.deliveries, stats.connected)
    };
    let alice = server.subscriber(&["a", "b"]);
    let bob = server.subscriber(&["a"]);
    let mut stranger = server.connect();
    stranger.expect_nothing();
    assert_eq!(counts(), (0, 3));
    for _ in 0..5 {
        server.broadcast("a", "{}");
    }
    server.broadcast("b", "{}");
    server.broadcast("nobody", "{}");
    server.post_token("forged").expect_error(400);
    assert_eq!(counts(), (11, 3));
    alice.leave();
    server.wait_connected(2);
    assert_eq!(server.broadcast("a", "{}"), 1);
    assert_eq!(counts(), (12, 2));
    drop(bob);
    stranger.leave();
    server.wait_connected(0);
    assert_eq!(server.broadcast("a", "{}"), 0);
    assert_eq!(counts(), (12, 0));
}

#[test]
fn connection_is_counted_as_soon_as_its_handshake_is_answered() {
    let server = Server::start();
    let mut asking = server.http();
    let mut open = Vec::new();
    for count in 1..=50 {
        open.push(server.raw());
        let info = asking.get("/info.json").json();
        assert_eq!(info["stats"]["connected"], count);
    }
}

#[test]
fn plain_http_connections_are_not_connected() {
    let server = Server::start();
    let mut open: Vec<_> = (0..3).map(|_| server.http()).collect();
    for http in &mut open {
        http.get("/healthz");
    }
    assert_eq!(server.stats().connected, 0);
}

#[test]
fn failed_handshakes_and_refused_tokens_leave_no_count_behind() {
    let server = Server::start();
    server.get("/subscribe").expect_error(426);
    let mut mallory = server.connect();
    mallory.authenticate("forged");
    mallory.expect_close(4001, "Not Authorized!");
    server.wait_connected(0);
}

/// A number that may be told under `stats` or beside it.
fn optional(info: &Value, key: &str) -> Option<u64> {
    info["stats"][key].as_u64().or(info[key].as_u64())
}

#[test]
fn burst_of_leaving_subscribers_leaves_exact_counts() {
    let server = Server::start();
    let mut leaving = Vec::new();
    for number in 0..60 {
        let own = format!("user:{number}");
        let mut raw = server.raw();
        raw.authenticate(&token::subscriber(&["all", &own]));
        raw.expect_confirmed(&["all", &own]);
        leaving.push(raw);
    }
    let mut staying = server.subscriber(&["all", "mine"]);
    assert_eq!(server.stats().connected, 61);
    let clients = std::thread::spawn(move || {
        for (number, mut raw) in leaving.into_iter().enumerate() {
            match number % 3 {
                0 => raw.http.reset(),
                1 => drop(raw),
                _ => drop(raw.send(0x88, [0x03, 0xE8])),
            }
        }
    });
    let mut handed = 0;
    for _ in 0..20 {
        handed += server.broadcast("all", r#"{"n":1}"#);
    }
    clients.join().expect("the leaving clients");
    server.wait_connected(1);
    handed += server.broadcast("all", r#"{"n":2}"#);
    let stats = server.stats();
    assert_eq!(stats.deliveries, handed);
    eventually("the empty channels are gone", || {
        let info = server.stats().info;
        let left = (
            optional(&info, "channels").unwrap_or(2),
            optional(&info, "subscriptions").unwrap_or(2),
        );
        (left == (2, 2)).then_some(())
    });
    for _ in 0..20 {
        staying.expect(r#"{"n":1}"#);
    }
    staying.expect(r#"{"n":2}"#);
    staying.expect_nothing();
}

#[test]
fn page_says_what_this_is() {
    let server = Server::start();
    let response = server.get("/");
    assert_eq!(response.status, 200);
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let page = response.text().to_lowercase();
    assert!(page.contains("<html") && page.contains("bifr"), "{page}");
    assert!(
        page.contains("<script"),
        "nothing on the page can be live: {page}"
    );
}

#[test]
fn healthz_and_readyz_are_ok() {
    let server = Server::start();
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
    server.get("/readyz").expect_json(200, r#"{"status":"ok"}"#);
}

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
fn idle_http_connections_make_room_for_a_subscriber() {
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
    assert!((1..8).contains(&served), "{served} of 8 are still here");
}

#[test]
fn websockets_without_a_token_make_room_for_a_subscriber() {
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
    // Those who have shown a token stay, and now nobody is left who could make room.
    server.ask(HANDSHAKE).expect_error(503);
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 2);
    alice.expect(r#"{"n":1}"#);
    bob.expect(r#"{"n":1}"#);
    server.wait_connected(2);
}

#[test]
fn flood_of_idle_connections_shuts_nobody_out() {
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
    // One more is told so or turned away; either way the others are still served.
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
fn readyz_is_ok_again_when_somebody_left() {
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
