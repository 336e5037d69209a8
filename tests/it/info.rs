//! The routes that describe the server: root page, `/info.json`, `/healthz` and `/readyz`.

use serde_json::Value;

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
fn failed_handshakes_and_refused_tokens_are_not_counted_as_connected() {
    let server = Server::start();
    server.get("/subscribe").expect_error(426);
    let mut mallory = server.connect();
    mallory.authenticate("forged");
    mallory.expect_close(4001, "Not Authorized!");
    server.wait_connected(0);
}

/// A number that may stand inside or outside of `stats`.
fn optional(info: &Value, key: &str) -> Option<u64> {
    info["stats"][key].as_u64().or(info[key].as_u64())
}

#[test]
fn counts_are_exact_after_a_burst_of_disconnects() {
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
fn root_page_describes_the_server() {
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
