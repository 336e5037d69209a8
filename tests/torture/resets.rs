//! Thousands of subscribers reset their connections at once, while others connect and messages
//! are broadcast.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::server::Server;
use crate::support::{DEADLINE, raise_file_limit};
use crate::tools::proc_stats::{ProcStats, wait_shrunk};
use crate::tools::publisher::Publisher;
use crate::tools::swarm::Swarm;

const RESETTING: usize = 5_000;
const STAYING: usize = 100;
const NEW: usize = 500;

#[test]
fn five_thousand_resets_at_once_leave_exact_counts_and_no_leak() {
    raise_file_limit();
    let server = Server::start();
    let mut staying = Swarm::connect(&server, STAYING, "a");
    let before = ProcStats::of(&server);
    let resetting = Swarm::connect(&server, RESETTING, "a");
    assert_eq!(server.stats().connected, (STAYING + RESETTING) as u64);

    let is_settled = AtomicBool::new(false);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let (mut new, published) = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let deadline = Instant::now() + DEADLINE.saturating_mul(6);
            while !is_settled.load(Ordering::Relaxed) {
                assert!(Instant::now() < deadline, "the connections never settle");
                assert!(publisher.post_with_retry() >= STAYING as u64);
            }
            publisher.answered
        });
        let reset = scope.spawn(move || resetting.reset());
        let new = Swarm::connect(&server, NEW, "b");
        reset.join().expect("the reset");
        server.wait_connected((STAYING + NEW) as u64);
        is_settled.store(true, Ordering::Relaxed);
        (new, publishing.join().expect("the publisher"))
    });

    // Those that stayed have received everything, and the counts are exact.
    staying.read_until("all messages have arrived", |client| {
        client.received[0] == published
    });
    expect_counts(&server, STAYING + NEW, 2);
    let mut to_all = Publisher::new(&server, 1, "a", 100);
    to_all.post(STAYING as u64);
    let mut to_new = Publisher::new(&server, 0, "b", 100);
    to_new.post(NEW as u64);
    new.read_until("the message has arrived", |client| client.received[0] == 1);
    drop((new, to_all, to_new, publisher));
    server.wait_connected(STAYING as u64);
    wait_shrunk(&server, before);
    drop(staying);
    server.wait_connected(0);
    expect_counts(&server, 0, 0);
}

/// Asserts the counts of `/info.json`, where each subscriber has one channel.
#[track_caller]
fn expect_counts(server: &Server, subscribers: usize, channels: usize) {
    let stats = &server.stats().info["stats"];
    assert_eq!(stats["connected"], subscribers, "{stats}");
    assert_eq!(stats["subscriptions"], subscribers, "{stats}");
    assert_eq!(stats["channels"], channels, "{stats}");
}
