//! Counters of rejected tokens, slow subscribers and panics in `/info.json`.

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::token;

fn stats(server: &Server) -> serde_json::Value {
    server.stats().info["stats"].clone()
}

#[test]
fn counters_keep_their_order_and_begin_at_zero() {
    let server = Server::start();
    let text = server.get("/info.json").text().to_owned();
    let places: Vec<_> = [
        "deliveries",
        "connected",
        "channels",
        "subscriptions",
        "rejected_tokens",
        "slow_subscribers_cut",
        "panics",
        "queued_bytes",
    ]
    .iter()
    .map(|key| {
        let key = format!(r#""{key}":0"#);
        text.find(&key)
            .unwrap_or_else(|| panic!("no {key} in {text}"))
    })
    .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn every_rejected_token_is_counted() {
    let server = Server::start();
    for round in 1..=10 {
        server.post_token("a.b.c").expect_error(400);
        server
            .post_token(&format!("{}x", token::publisher("a", "{}")))
            .expect_error(400);
        let mut raw = server.raw();
        raw.authenticate("a.b.c").expect_close(4001);
        eventually("the three rejected tokens are counted", || {
            (stats(&server)["rejected_tokens"] == 3 * round).then_some(())
        });
    }
    server.broadcast("a", "{}");
    server.subscriber(&["a"]).expect_nothing();
    assert_eq!(stats(&server)["rejected_tokens"], 30);
}

#[test]
fn every_slow_subscriber_is_counted() {
    const SLOW: usize = 5;
    let settings = [("BIFROST_QUEUE", "64KiB"), ("BIFROST_WRITE_TIMEOUT", "1s")];
    let server = Server::with(&settings);
    let slow: Vec<_> = (0..SLOW)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(32 * 1024));
    eventually("all are cut", || {
        (server.broadcast("a", &message) == 0).then_some(())
    });
    server.wait_connected(0);
    assert_eq!(stats(&server)["slow_subscribers_cut"], SLOW);
    drop(slow);
}
