//! Subscribers that do not read: their send queues are bounded, and other subscribers are not
//! delayed.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::raw::{CLOSE, Frame, RawSocket, TEXT, close_payload, masked};
use crate::support::server::Server;

const SIZE: usize = 32 * 1024;

/// More messages than any kernel buffers between two local sockets.
const FAR_TOO_MANY: usize = 64 * 1024 * 1024 / SIZE;

/// Message number `number`, padded to `SIZE` bytes.
fn message(number: usize) -> String {
    let head = format!(r#"{{"n":{number},"fill":""#);
    let fill = "x".repeat(SIZE - head.len() - 2);
    format!(r#"{head}{fill}"}}"#)
}

/// Broadcasts numbered messages, which `witness` reads, until only `readers` subscribers are left.
/// Returns how many messages the slow subscribers were handed before.
fn broadcast_until_only(readers: u64, server: &Server, witness: &mut RawSocket) -> usize {
    for number in 0..FAR_TOO_MANY {
        let delivered = server.broadcast("a", &message(number));
        witness.expect_text(&message(number));
        if delivered == readers {
            return number;
        }
    }
    panic!("a subscriber that reads nothing is never too slow");
}

/// Reads the messages that arrived, in order and without a gap; returns their count and the next
/// frame.
fn read_on(slow: &mut RawSocket) -> (usize, Frame) {
    let mut count = 0;
    loop {
        let frame = slow.next();
        if frame.first != TEXT {
            return (count, frame);
        }
        assert_eq!(
            frame.payload,
            message(count).into_bytes(),
            "message {count}"
        );
        count += 1;
    }
}

#[test]
fn slow_subscriber_is_cut_without_delaying_others() {
    let server = Server::with(&[
        ("BIFROST_QUEUE", "128KiB"),
        ("BIFROST_WRITE_TIMEOUT", "400ms"),
    ]);
    let mut bob = server.raw_subscriber(&["a"]);
    let _alice = server.narrow_subscriber(&["a"]);
    broadcast_until_only(1, &server, &mut bob);
    server.wait_connected(1);
    assert_eq!(server.broadcast("a", "{}"), 1);
    bob.expect_text("{}");
}

#[test]
fn slow_subscriber_that_reads_on_in_time_gets_1013() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut bob = server.raw_subscriber(&["a"]);
    let mut alice = server.narrow_subscriber(&["a"]);
    broadcast_until_only(1, &server, &mut bob);
    let (_, close) = read_on(&mut alice);
    assert_eq!(close.first, CLOSE);
    assert_eq!(close.payload, close_payload(1013, "Too slow"));
    alice.http.try_send(masked(CLOSE, close_payload(1013, "")));
    alice.expect_end();
    server.wait_connected(1);
    bob.expect_nothing();
}

/// The bytes of the messages that a slow subscriber misses: its queue when it was cut.
fn missed_bytes(server: &Server) -> usize {
    let mut bob = server.raw_subscriber(&["a"]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let handed = broadcast_until_only(1, server, &mut bob);
    let (received, close) = read_on(&mut alice);
    assert_eq!(close.payload, close_payload(1013, "Too slow"));
    (handed - received) * SIZE
}

/// Asserts that the queue of a slow subscriber grows up to `limit`, and never beyond.
#[track_caller]
fn expect_queue(server: &Server, limit: usize) {
    // One more message may be in flight, and one more is the one that did not fit.
    let slack = 2 * SIZE + 1024;
    let missed = missed_bytes(server);
    assert!(missed <= limit, "{missed} bytes waited, which is too much");
    assert!(
        missed + slack > limit,
        "{missed} bytes waited, which is too little"
    );
}

#[test]
fn queue_holds_one_mib_by_default() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "15s")]);
    expect_queue(&server, 1024 * 1024);
}

#[test]
fn queue_limit_can_be_configured() {
    let server = Server::with(&[
        ("BIFROST_QUEUE", "256KiB"),
        ("BIFROST_WRITE_TIMEOUT", "15s"),
    ]);
    expect_queue(&server, 256 * 1024);
}

#[test]
fn several_slow_subscribers_are_all_cut() {
    let server = Server::with(&[
        ("BIFROST_QUEUE", "64KiB"),
        ("BIFROST_WRITE_TIMEOUT", "400ms"),
    ]);
    let mut bob = server.raw_subscriber(&["a"]);
    let _slow: Vec<_> = (0..4).map(|_| server.narrow_subscriber(&["a"])).collect();
    broadcast_until_only(1, &server, &mut bob);
    server.wait_connected(1);
    bob.expect_nothing();
}

#[test]
fn deliveries_do_not_count_a_subscriber_that_is_being_cut() {
    let server = Server::with(&[("BIFROST_QUEUE", "64KiB"), ("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut bob = server.raw_subscriber(&["a"]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let handed = broadcast_until_only(1, &server, &mut bob);
    for _ in 0..3 {
        assert_eq!(server.broadcast("a", "{}"), 1);
        bob.expect_text("{}");
    }
    // `handed` messages to both, one to bob alone, and these three.
    assert_eq!(server.stats().deliveries as usize, handed * 2 + 1 + 3);
    let (_, close) = read_on(&mut alice);
    assert_eq!(close.payload, close_payload(1013, "Too slow"));
}

#[test]
fn subscriber_that_catches_up_misses_nothing() {
    let server = Server::with(&[("BIFROST_QUEUE", "64MiB"), ("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut alice = server.narrow_subscriber(&["a"]);
    for round in 0..2 {
        for number in 0..250 {
            assert_eq!(server.broadcast("a", &message(number)), 1, "round {round}");
        }
        for number in 0..250 {
            alice.expect_text(&message(number));
        }
    }
    alice.expect_nothing();
}

#[test]
fn subscriber_that_reads_nothing_is_cut_before_its_queue_is_full() {
    let server = Server::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_WRITE_TIMEOUT", "400ms"),
    ]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let started = Instant::now();
    for number in 0..250 {
        server.broadcast("a", &message(number));
    }
    server.wait_connected(0);
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "after {:?}",
        started.elapsed()
    );
    alice.http.drain();
}

#[test]
fn subscriber_that_reads_slowly_but_steadily_stays() {
    let server = Server::with(&[("BIFROST_QUEUE", "64MiB"), ("BIFROST_WRITE_TIMEOUT", "1s")]);
    let mut alice = server.narrow_subscriber(&["a"]);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..250 {
                assert_eq!(server.broadcast("a", &message(number)), 1);
            }
        });
        // Reads half a megabyte a second, for three times the write timeout.
        for number in 0..50 {
            alice.expect_text(&message(number));
            thread::sleep(Duration::from_millis(60));
        }
        for number in 50..250 {
            alice.expect_text(&message(number));
        }
    });
    alice.expect_nothing();
}

#[test]
fn message_larger_than_the_queue_is_delivered_to_an_empty_queue() {
    let server = Server::with(&[("BIFROST_QUEUE", "1KiB")]);
    let mut alice = server.raw_subscriber(&["a"]);
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(600_000));
    for _ in 0..3 {
        assert_eq!(server.broadcast("a", &large), 1);
        alice.expect_text(&large);
        // The answer to a ping shows that the queue is empty.
        alice.expect_nothing();
    }
}

#[test]
fn message_that_does_not_fit_into_the_queue_cuts_the_subscriber() {
    let server = Server::with(&[("BIFROST_QUEUE", "1KiB"), ("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut bob = server.raw_subscriber(&["a"]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let handed = broadcast_until_only(1, &server, &mut bob);
    let (received, close) = read_on(&mut alice);
    assert_eq!(close.payload, close_payload(1013, "Too slow"));
    assert!(
        handed - received <= 1,
        "{received} of {handed}: the frame in flight is finished"
    );
}

#[test]
fn slow_subscriber_of_one_channel_does_not_disturb_another_channel() {
    let server = Server::with(&[("BIFROST_QUEUE", "64KiB")]);
    let mut bob = server.raw_subscriber(&["a", "b"]);
    let _alice = server.narrow_subscriber(&["a"]);
    let mut carol = server.raw_subscriber(&["b"]);
    broadcast_until_only(1, &server, &mut bob);
    for number in 0..20 {
        assert_eq!(server.broadcast("b", &message(number)), 2);
        carol.expect_text(&message(number));
        bob.expect_text(&message(number));
    }
}
