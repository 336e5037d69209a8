//! Scenes of the total that waits for all subscribers: it ends exact, and what is too much
//! costs somebody their place.
//!
//! A total below zero reads as zero, so a witness for whom a known number of bytes waits
//! stands beside the others in each scene.

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{Backlog, Push, QueueBudget, QueueState, SendQueue};
use bifrost_model::net::socket::{Peer, connect};

/// Room for all that a scene sends.
const WIDE: usize = 1_000;
/// What waits for the witness, in bytes.
const WITNESS: u64 = 9;

fn pair(total: &QueueBudget, room: usize, limit: usize) -> (SendQueue, Peer) {
    let (socket, peer) = connect(room);
    let outbox = SendQueue::new(socket.clone(), limit, total.clone()).unwrap();
    socket.belongs_to(outbox.bell());
    (outbox, peer)
}

/// A total with a witness.
fn witnessed() -> (QueueBudget, SendQueue) {
    let total = QueueBudget::new(WIDE);
    let (witness, _) = pair(&total, 0, WIDE);
    assert_eq!(push(&witness, b"witness.."), Push::Accepted);
    assert_eq!(total.bytes(), WITNESS);
    (total, witness)
}

fn push(outbox: &SendQueue, frame: &'static [u8]) -> Push {
    outbox.push(&Bytes::from_static(frame))
}

/// A thread that pushes a frame.
fn pusher(outbox: &SendQueue, frame: &'static [u8]) -> thread::JoinHandle<Push> {
    let outbox = outbox.clone();
    thread::spawn(move || push(&outbox, frame))
}

/// The peer reads and the owner writes until nothing waits.
fn empty(outbox: &SendQueue, peer: &Peer) {
    while !outbox.is_empty() {
        peer.read();
        outbox.resume();
    }
}

#[test]
fn what_waits_for_two_that_push_is_counted_to_the_byte() {
    explore(Preemptions::UpTo(4), || {
        let (total, _witness) = witnessed();
        let (outbox, peer) = pair(&total, 3, WIDE);
        let other = pusher(&outbox, b"b1");
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        assert_eq!(other.join().unwrap(), Push::Accepted);
        assert_eq!(total.bytes(), WITNESS + 1);
        empty(&outbox, &peer);
        assert_eq!(total.bytes(), WITNESS);
    });
}

#[test]
fn who_overflows_counts_no_longer_whoever_pushes() {
    explore(Preemptions::UpTo(4), || {
        let (total, _witness) = witnessed();
        let (outbox, peer) = pair(&total, 2, 4);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted); // fills the socket
        assert_eq!(push(&outbox, b"a2"), Push::Accepted); // waits
        let other = pusher(&outbox, b"b1");
        let own = push(&outbox, b"c1");
        assert_ne!(own, other.join().unwrap(), "there was room for one");
        assert_eq!(outbox.state(), QueueState::Overflowed);
        assert_eq!(total.bytes(), WITNESS);
        outbox.close(Bytes::from_static(b"ZZ"), Backlog::Drop);
        empty(&outbox, &peer);
        assert_eq!(total.bytes(), WITNESS);
    });
}

#[test]
fn who_overflows_while_the_owner_writes_is_taken_off_once() {
    explore(Preemptions::UpTo(4), || {
        let (total, _witness) = witnessed();
        let (outbox, peer) = pair(&total, 2, 3);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        assert_eq!(push(&outbox, b"a2"), Push::Accepted);
        peer.read();
        let other = pusher(&outbox, b"b1"); // too much, unless the owner is faster
        outbox.resume();
        let _ = other.join().unwrap();
        empty(&outbox, &peer);
        assert_eq!(total.bytes(), WITNESS);
    });
}

#[test]
fn who_breaks_while_others_push_counts_no_longer() {
    explore(Preemptions::UpTo(4), || {
        let (total, _witness) = witnessed();
        let (outbox, peer) = pair(&total, 3, WIDE);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        assert_eq!(push(&outbox, b"a2"), Push::Accepted);
        peer.reset();
        let other = pusher(&outbox, b"b1");
        outbox.resume();
        let _ = other.join().unwrap();
        assert_eq!(outbox.state(), QueueState::Broken);
        assert_eq!(total.bytes(), WITNESS);
    });
}

/// Where one outbox lets another go, loom 0.7 fails an assertion of its own.
#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    /// The sum of what waits for those who may stay; everybody else has been called.
    fn counted(all: &[(&SendQueue, u64)]) -> u64 {
        let stay = all.iter().filter(|(outbox, _)| {
            assert!(outbox.bell().is_rung(), "the owner sleeps on");
            outbox.state() == QueueState::Open
        });
        stay.map(|(_, waits)| waits).sum()
    }

    #[test]
    fn a_frame_too_many_for_all_costs_somebody_their_place() {
        explore_many(10_000, || {
            let total = QueueBudget::new(5);
            let (alice, _a) = pair(&total, 0, WIDE);
            let (bob, _b) = pair(&total, 0, WIDE);
            let other = pusher(&bob, b"bbb");
            assert_eq!(push(&alice, b"aaa"), Push::Accepted);
            assert_eq!(other.join().unwrap(), Push::Accepted);
            let waits = counted(&[(&alice, 3), (&bob, 3)]);
            assert!(waits <= 5, "more waits than may");
            assert_eq!(total.bytes(), waits);
        });
    }

    #[test]
    fn who_leaves_while_it_would_be_chosen_is_taken_off_once() {
        explore_many(10_000, || {
            let total = QueueBudget::new(14);
            let (alice, _a) = pair(&total, 0, WIDE);
            assert_eq!(push(&alice, b"aa"), Push::Accepted);
            let (large, _l) = pair(&total, 0, WIDE);
            assert_eq!(push(&large, b"large....."), Push::Accepted);
            let leaving = thread::spawn(move || drop(large));
            assert_eq!(push(&alice, b"aaa"), Push::Accepted); // together they are too many
            leaving.join().unwrap();
            assert_eq!(total.bytes(), counted(&[(&alice, 5)]));
        });
    }

    #[test]
    fn who_leaves_while_another_is_chosen_keeps_nobody_waiting() {
        explore_many(10_000, || {
            let total = QueueBudget::new(14);
            let (large, _l) = pair(&total, 0, WIDE);
            assert_eq!(push(&large, b"large....."), Push::Accepted);
            let (small, _s) = pair(&total, 0, WIDE);
            assert_eq!(push(&small, b"sss"), Push::Accepted);
            let leaving = thread::spawn(move || drop(small));
            let (alice, _a) = pair(&total, 0, WIDE);
            assert_eq!(push(&alice, b"aa"), Push::Accepted); // together they are too many
            leaving.join().unwrap();
            assert_eq!(total.bytes(), counted(&[(&large, 10), (&alice, 2)]));
        });
    }

    #[test]
    fn three_that_push_to_three_end_within_the_limit() {
        explore_many(5_000, || {
            let total = QueueBudget::new(7);
            let pairs = [0, 1, 2].map(|_| pair(&total, 0, WIDE));
            let pushers = [0, 1, 2].map(|i| {
                let outbox = pairs[i].0.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        let _ = push(&outbox, b"xx"); // refused: it has lost its place
                    }
                })
            });
            for pusher in pushers {
                pusher.join().unwrap();
            }
            let waits = counted(&[0, 1, 2].map(|i| (&pairs[i].0, 4)));
            assert!(waits <= 7, "more waits than may");
            assert_eq!(total.bytes(), waits);
        });
    }
}
