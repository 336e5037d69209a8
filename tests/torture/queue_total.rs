//! All queues together are bounded: past the total, those with the most waiting go first.

use crate::support::eventually;
use crate::support::raw::{CLOSE, RawSocket, TEXT, close_payload};
use crate::support::server::Server;
use crate::tools::publisher::{self, Publisher};
use crate::tools::vitals::Vitals;

/// Of one message, in bytes.
const SIZE: usize = 32 * 1024;
/// More than the kernels hold between two sockets, in messages.
const KERNEL: usize = 1024 * 1024 / SIZE;

/// Each may have more waiting than all together.
fn server_with(total: &str) -> Server {
    Server::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_QUEUE_TOTAL", total),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ])
}

fn stat(server: &Server, key: &str) -> u64 {
    let info = server.stats().info;
    info["stats"][key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {info}"))
}

/// Reads messages to the end, which is a close for slowness.
#[track_caller]
fn expect_cut(slow: &mut RawSocket) {
    loop {
        let frame = slow.next();
        if frame.first == CLOSE {
            assert_eq!(frame.payload, close_payload(1013, "Too slow"));
            return;
        }
        assert_eq!(frame.first, TEXT);
    }
}

/// Reads messages of a publisher, from the first to the last.
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
fn who_has_the_most_waiting_is_cut_first() {
    let server = server_with("8MiB");
    let mut modest = server.narrow_subscriber(&["a"]);
    let mut greedy = server.narrow_subscriber(&["a", "b"]);
    let mut to_both = Publisher::new(&server, 0, "a", SIZE);
    let mut to_greedy = Publisher::new(&server, 1, "b", SIZE);
    // Some of it waits at the server for both, about 1 MiB each.
    for _ in 0..2 * KERNEL {
        to_both.post(2);
    }
    // As much as there is room for, and some more.
    let mut handed = 0;
    while to_greedy.try_post() == Some(1) {
        handed += 1;
        assert!(handed * SIZE < 32 * 1024 * 1024, "the total is never kept");
    }
    assert!(
        handed * SIZE > 3 * 1024 * 1024,
        "cut after {handed} messages"
    );
    eventually("the total is kept again, although nobody has read", || {
        let is_cut = stat(&server, "slow_subscribers_cut") == 1;
        (is_cut && stat(&server, "queued_bytes") < 8 * 1024 * 1024).then_some(())
    });
    // The other one is not cut, and misses nothing.
    to_both.post(1);
    expect_all(&mut modest, 0, to_both.answered);
    modest.expect_nothing();
    expect_cut(&mut greedy);
    eventually("nothing waits any more", || {
        (stat(&server, "queued_bytes") == 0).then_some(())
    });
}

#[test]
fn total_is_kept_with_many_slow_ones() {
    const SLOW: usize = 40;
    const TOTAL: u64 = 4 * 1024 * 1024;
    let server = server_with("4MiB");
    let mut alice = server.raw_subscriber(&["a"]);
    let slow: Vec<_> = (0..SLOW)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let before = Vitals::of(&server);
    let mut left = SLOW as u64 + 1;
    for _ in 0..300 {
        let message = publisher.next_message();
        let count = publisher.post_stubbornly();
        assert!(1 <= count && count <= left, "{count} of {left}");
        left = count;
        // Who reads gets everything, and is never the one to go.
        alice.expect_text(&message);
        let queued = stat(&server, "queued_bytes");
        // The message that is just being handed over may come on top for those it reaches.
        assert!(
            queued <= TOTAL + (SLOW * SIZE) as u64,
            "{queued} bytes wait"
        );
    }
    assert!(left < SLOW as u64 + 1, "nobody was ever cut");
    alice.expect_nothing();
    let after = Vitals::of(&server);
    assert!(
        after.peak < before.memory + 64 * 1024,
        "{before:?}, {after:?}"
    );
    drop(slow);
    server.wait_connected(1);
    eventually("nothing waits any more", || {
        (stat(&server, "queued_bytes") == 0).then_some(())
    });
}

#[test]
fn default_total_is_no_hindrance() {
    let server = Server::start();
    let mut slow = server.narrow_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    for _ in 0..KERNEL {
        publisher.post(1);
    }
    expect_all(&mut slow, 0, KERNEL as u64);
    slow.expect_nothing();
}
