//! The budget of all send queues together; the fullest queues are cut first.

use std::time::Instant;

use crate::support::server::Server;
use crate::support::{DEADLINE, eventually};

#[test]
fn fullest_queues_are_cut_when_all_together_exceed_the_budget() {
    let server = Server::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_QUEUE_TOTAL", "1MiB"),
        ("BIFROST_WRITE_TIMEOUT", "60s"),
    ]);
    let mut reader = server.raw_subscriber(&["a", "b"]);
    let slow: Vec<_> = (0..4).map(|_| server.narrow_subscriber(&["a"])).collect();
    let mut stalled = server.narrow_subscriber(&["b"]);
    let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(60_000));
    let (mut handed_to_b, started) = (0, Instant::now());
    // The subscriber of b has a few queued messages, far fewer than those of a will have.
    while server.stats().info["stats"]["queued_bytes"] == 0 {
        assert!(started.elapsed() < DEADLINE, "nothing is ever queued");
        handed_to_b += 1;
        assert_eq!(server.broadcast("b", &message), 2);
        reader.expect_text(&message);
    }
    eventually("all on a are cut", || {
        let deliveries = server.broadcast("a", &message);
        reader.expect_text(&message);
        (deliveries == 1).then_some(())
    });
    let stats = server.stats().info["stats"].clone();
    assert!(stats["queued_bytes"].as_u64() <= Some(1 << 20), "{stats}");
    eventually("they are counted", || {
        let stats = server.stats().info["stats"].clone();
        (stats["slow_subscribers_cut"] == slow.len()).then_some(())
    });
    for _ in 0..handed_to_b {
        stalled.expect_text(&message);
    }
    eventually("every queue is empty", || {
        (server.stats().info["stats"]["queued_bytes"] == 0).then_some(())
    });
}
