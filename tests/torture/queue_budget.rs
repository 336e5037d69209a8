//! The budget of all send queues: past it, subscribers with the largest queues are evicted first.

use crate::support::eventually;
use crate::support::raw::{CLOSE, RawSocket, TEXT, close_payload};
use crate::support::server::Server;
use crate::tools::proc_stats::ProcStats;
use crate::tools::publisher::{self, Publisher};

/// Size of a message, in bytes.
const SIZE: usize = 32 * 1024;
/// More messages than the kernel's buffers between two sockets hold.
const KERNEL_BUFFERS: usize = 1024 * 1024 / SIZE;

/// A server whose limit of a single queue is above the budget of all.
fn server_with_budget(budget: &str) -> Server {
    Server::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_QUEUE_TOTAL", budget),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ])
}

fn stat(server: &Server, key: &str) -> u64 {
    let info = server.stats().info;
    info["stats"][key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {info}"))
}

/// Reads messages up to the close frame, whose reason must be slowness.
#[track_caller]
fn expect_evicted(slow: &mut RawSocket) {
    loop {
        let frame = slow.next();
        if frame.first == CLOSE {
            assert_eq!(frame.payload, close_payload(1013, "Too slow"));
            return;
        }
        assert_eq!(frame.first, TEXT);
    }
}

/// Asserts that all messages of a publisher arrive, in order.
#[track_caller]
fn expect_all(slow: &mut RawSocket, publisher: usize, count: u64) {
    for number in 0..count {
        let frame = slow.next();
        let numbers = publisher::numbers(&frame.payload);
        assert_eq!(numbers, Some((publisher, number)));
        assert_eq!((frame.first, frame.payload.len()), (TEXT, SIZE));
    }
}

#[test]
fn subscriber_with_the_largest_queue_is_evicted_first() {
    let server = server_with_budget("8MiB");
    let mut small = server.narrow_subscriber(&["a"]);
    let mut large = server.narrow_subscriber(&["a", "b"]);
    let mut to_both = Publisher::new(&server, 0, "a", SIZE);
    let mut to_large = Publisher::new(&server, 1, "b", SIZE);
    // About 1 MiB is queued for each of the two.
    for _ in 0..2 * KERNEL_BUFFERS {
        to_both.post(2);
    }
    // As much as the budget allows, and more.
    let mut posted = 0;
    while to_large.try_post() == Some(1) {
        posted += 1;
        assert!(
            posted * SIZE < 32 * 1024 * 1024,
            "the budget is never enforced"
        );
    }
    assert!(
        posted * SIZE > 3 * 1024 * 1024,
        "evicted after {posted} messages"
    );
    eventually(
        "the queues are within the budget, although no subscriber has read",
        || {
            let is_evicted = stat(&server, "slow_subscribers_cut") == 1;
            (is_evicted && stat(&server, "queued_bytes") < 8 * 1024 * 1024).then_some(())
        },
    );
    // The other subscriber stays, and receives everything.
    to_both.post(1);
    expect_all(&mut small, 0, to_both.answered);
    small.expect_nothing();
    expect_evicted(&mut large);
    eventually("all queues are empty", || {
        (stat(&server, "queued_bytes") == 0).then_some(())
    });
}

#[test]
fn budget_holds_with_many_slow_subscribers() {
    const SLOW: usize = 40;
    const BUDGET: u64 = 4 * 1024 * 1024;
    let server = server_with_budget("4MiB");
    let mut alice = server.raw_subscriber(&["a"]);
    let slow: Vec<_> = (0..SLOW)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let before = ProcStats::of(&server);
    let mut left = SLOW as u64 + 1;
    for _ in 0..300 {
        let message = publisher.next_message();
        let count = publisher.post_with_retry();
        assert!(1 <= count && count <= left, "{count} of {left}");
        left = count;
        // A subscriber that reads receives everything, and is never evicted.
        alice.expect_text(&message);
        let queued = stat(&server, "queued_bytes");
        // The message in progress may exceed the budget by its size for each subscriber.
        assert!(
            queued <= BUDGET + (SLOW * SIZE) as u64,
            "{queued} bytes are queued"
        );
    }
    assert!(left < SLOW as u64 + 1, "no subscriber was evicted");
    alice.expect_nothing();
    let after = ProcStats::of(&server);
    assert!(
        after.peak < before.memory + 64 * 1024,
        "{before:?}, {after:?}"
    );
    drop(slow);
    server.wait_connected(1);
    eventually("all queues are empty", || {
        (stat(&server, "queued_bytes") == 0).then_some(())
    });
}

#[test]
fn default_budget_evicts_no_single_slow_subscriber() {
    let server = Server::start();
    let mut slow = server.narrow_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    for _ in 0..KERNEL_BUFFERS {
        publisher.post(1);
    }
    expect_all(&mut slow, 0, KERNEL_BUFFERS as u64);
    slow.expect_nothing();
}
