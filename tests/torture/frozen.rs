//! Subscribers that stop reading under heavy broadcasts: nobody else notices, and nothing piles up.

use std::thread;

use crate::support::raise_file_limit;
use crate::support::raw::{CLOSE, RawSocket, TEXT, close_payload};
use crate::support::server::Server;
use crate::tools::crowd::Crowd;
use crate::tools::publisher::{self, Publisher};
use crate::tools::vitals::Vitals;

/// Of one message, in bytes.
const SIZE: usize = 32 * 1024;

/// Half of the 50 MB that are broadcast, in KiB: if nothing bounded the queues, all would stay.
const TOO_MUCH_MEMORY: usize = 25 * 1024;

#[test]
fn subscriber_that_stops_reading_costs_nobody_anything() {
    const MESSAGES: u64 = 50_000_000 / SIZE as u64;
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "3s")]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let mut bob = server.raw_subscriber(&["a"]);
    let alice = server.narrow_subscriber(&["a"]);
    let before = Vitals::of(&server);
    let mut delivered = 0;
    for _ in 0..MESSAGES {
        let message = publisher.next_message();
        delivered += publisher.post_stubbornly();
        bob.expect_text(&message);
    }
    let to_alice = delivered - MESSAGES;
    assert!(
        to_alice * (SIZE as u64) < 4_000_000,
        "{to_alice} messages wait for one"
    );
    // Cut within the write time limit, which nothing but the end of waiting can show.
    server.wait_connected(1);
    let after = Vitals::of(&server);
    assert!(
        after.peak - before.memory < TOO_MUCH_MEMORY,
        "{before:?}, {after:?}"
    );
    bob.expect_nothing();
    drop(alice);
}

/// Reads what came through, in order and without a gap, and the frame behind it.
fn read_on(slow: &mut RawSocket) -> (u64, Vec<u8>) {
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
fn hundred_of_a_thousand_that_stop_reading_harm_nobody() {
    const READERS: u64 = 900;
    const FROZEN: u64 = 100;
    const MESSAGES: u64 = 64;
    raise_file_limit();
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "15s")]);
    let mut publisher = Publisher::new(&server, 0, "a", SIZE);
    let mut crowd = Crowd::gather(&server, READERS as usize, "a");
    let mut frozen: Vec<_> = (0..FROZEN)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let before = Vitals::of(&server);
    let mut last = READERS + FROZEN;
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut counts: Vec<u64> = Vec::new();
            for number in 0..MESSAGES {
                counts.push(publisher.post_stubbornly());
                assert_eq!(publisher.answered, number + 1);
            }
            counts
        });
        // Whoever reads gets everything, as if the others were not there.
        crowd.read_until("they have heard all", |member| member.heard[0] == MESSAGES);
        for count in publishing.join().expect("the publisher") {
            assert!(READERS <= count && count <= last, "{count} after {last}");
            last = count;
        }
    });
    assert_eq!(last, READERS, "the frozen ones are still handed messages");
    // Half of them wake up in time: they are told. The others are cut.
    for slow in frozen.iter_mut().step_by(2) {
        let (_, farewell) = read_on(slow);
        assert_eq!(farewell, close_payload(1013, "Too slow"));
    }
    server.wait_connected(READERS);
    let after = Vitals::of(&server);
    // All wait for the same frames, and each of them exists once.
    assert!(
        after.memory - before.memory < TOO_MUCH_MEMORY,
        "{before:?}, {after:?}"
    );
    publisher.post(READERS);
    crowd.read_until("they hear one more", |member| {
        member.heard[0] == MESSAGES + 1
    });
    assert!(crowd.members().iter().all(|member| !member.has_ended));
}
