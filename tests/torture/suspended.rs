//! Suspended subscribers, which stop reading under heavy broadcasts: they delay no other
//! subscriber, and the memory of the server stays bounded.

use std::thread;

use crate::support::raise_file_limit;
use crate::support::raw::{CLOSE, RawSocket, TEXT, close_payload};
use crate::support::server::Server;
use crate::tools::proc_stats::ProcStats;
use crate::tools::publisher::{self, Publisher};
use crate::tools::swarm::Swarm;

/// Size of a message, in bytes.
const SIZE: usize = 32 * 1024;

/// Growth of the server's memory that fails a test, in KiB: half of the 50 MB that are broadcast,
/// all of which unbounded queues would hold.
const TOO_MUCH_GROWTH: usize = 25 * 1024;

#[test]
fn suspended_subscriber_is_cut_without_delaying_others() {
    const MESSAGES: u64 = 50_000_000 / SIZE as u64;
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "3s")]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let mut bob = server.raw_subscriber(&["a"]);
    let alice = server.narrow_subscriber(&["a"]);
    let before = ProcStats::of(&server);
    let mut delivered = 0;
    for _ in 0..MESSAGES {
        let message = publisher.next_message();
        delivered += publisher.post_with_retry();
        bob.expect_text(&message);
    }
    let to_alice = delivered - MESSAGES;
    assert!(
        to_alice * (SIZE as u64) < 4_000_000,
        "{to_alice} messages were queued for one subscriber"
    );
    // Alice never reads, so her connection is closed within the write timeout.
    server.wait_connected(1);
    let after = ProcStats::of(&server);
    assert!(
        after.peak < before.memory + TOO_MUCH_GROWTH,
        "{before:?}, {after:?}"
    );
    bob.expect_nothing();
    drop(alice);
}

/// Reads the messages that were sent, which are in order and complete, and the close frame; gives
/// their count and the payload of the close frame.
fn read_until_close(slow: &mut RawSocket) -> (u64, Vec<u8>) {
    let mut count = 0;
    loop {
        let frame = slow.next();
        if frame.first == CLOSE {
            return (count, frame.payload);
        }
        assert_eq!(frame.first, TEXT);
        assert_eq!(publisher::numbers(&frame.payload), Some((0, count)));
        assert_eq!(frame.payload.len(), SIZE);
        count += 1;
    }
}

#[test]
fn hundred_suspended_of_a_thousand_subscribers_delay_no_other() {
    const READERS: u64 = 900;
    const SUSPENDED: u64 = 100;
    const MESSAGES: u64 = 64;
    raise_file_limit();
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let mut swarm = Swarm::connect(&server, READERS as usize, "a");
    let mut suspended: Vec<_> = (0..SUSPENDED)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let before = ProcStats::of(&server);
    let mut last = READERS + SUSPENDED;
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut counts: Vec<u64> = Vec::new();
            for number in 0..MESSAGES {
                counts.push(publisher.post_with_retry());
                assert_eq!(publisher.answered, number + 1);
            }
            counts
        });
        // Subscribers that read receive everything.
        swarm.read_until("all messages have arrived", |client| {
            client.received[0] == MESSAGES
        });
        for count in publishing.join().expect("the publisher") {
            assert!(READERS <= count && count <= last, "{count} after {last}");
            last = count;
        }
    });
    assert_eq!(
        last, READERS,
        "messages are still queued for suspended subscribers"
    );
    // Half of the suspended read on in time, and receive a close frame. The others are cut.
    for slow in suspended.iter_mut().step_by(2) {
        let (_, close) = read_until_close(slow);
        assert_eq!(close, close_payload(1013, "Too slow"));
    }
    server.wait_connected(READERS);
    let after = ProcStats::of(&server);
    // All queues share the same frames, so each frame is in memory once.
    assert!(
        after.memory < before.memory + TOO_MUCH_GROWTH,
        "{before:?}, {after:?}"
    );
    publisher.post(READERS);
    swarm.read_until("one more message has arrived", |client| {
        client.received[0] == MESSAGES + 1
    });
    assert!(swarm.clients().iter().all(|client| !client.has_ended));
}
