//! Scenarios of an open send queue: no frame is lost, duplicated, torn or left behind.
//!
//! A scenario checks what the peer received before it calls the queue again, because many calls
//! would make up for a lost wake-up. Frames have two bytes: their sender and a number.

use std::sync::Arc;

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{Push, QueueBudget, QueueState, SendQueue};
use bifrost_model::net::socket::{Peer, Socket, connect};
use bifrost_model::session::iterate;

/// Larger than all that a scenario sends.
const WIDE: usize = 100_000;
/// Room for one and a half frames.
const NARROW: usize = 3;

fn pair(room: usize) -> (SendQueue, Socket, Peer) {
    let (socket, peer) = connect(room);
    let queue = SendQueue::new(socket.clone(), WIDE, QueueBudget::new(WIDE), Bytes::new()).unwrap();
    socket.belongs_to(queue.waker());
    (queue, socket, peer)
}

fn push(queue: &SendQueue, frames: &[&'static [u8]]) {
    for frame in frames {
        assert_eq!(queue.push(&Bytes::from_static(frame)), Push::Accepted);
    }
}

/// Starts a thread that pushes frames.
fn pusher(queue: &SendQueue, frames: &'static [&'static [u8]]) -> thread::JoinHandle<()> {
    let queue = queue.clone();
    thread::spawn(move || push(&queue, frames))
}

/// Asserts that exactly these frames arrived, whole, those of each sender in order.
fn assert_received(peer: &Peer, senders: &[&[&[u8]]]) {
    let seen = peer.seen();
    for frames in senders {
        let sender = frames[0][0];
        let of_sender: Vec<_> = seen.chunks(2).filter(|frame| frame[0] == sender).collect();
        assert_eq!(
            &of_sender,
            frames,
            "of {:?}",
            String::from_utf8_lossy(&seen)
        );
    }
    let total = senders.iter().map(|frames| frames.len()).sum::<usize>();
    assert_eq!(
        seen.len(),
        2 * total,
        "{:?}",
        String::from_utf8_lossy(&seen)
    );
}

/// Asserts the end of a scenario in which the owner had nothing to do.
fn assert_idle(queue: &SendQueue) {
    assert!(!queue.waker().is_woken());
    assert!(queue.is_empty());
    assert_eq!(queue.state(), QueueState::Open);
    assert_eq!(queue.stalled_since(), None);
}

/// Does what the owner does after a wake-up, until it would sleep.
fn settle(queue: &SendQueue, socket: &Socket, peer: &Peer) {
    if queue.waker().is_woken() {
        queue.clear_waker();
        while queue.stalled_since().is_some() {
            peer.read();
            iterate(queue, socket);
        }
    }
    assert_eq!(queue.state(), QueueState::Open);
}

#[test]
fn two_concurrent_pushes_need_no_owner() {
    explore(Preemptions::Any, || {
        let (queue, _socket, peer) = pair(WIDE);
        let other = pusher(&queue, &[b"b1"]);
        push(&queue, &[b"a1"]);
        other.join().unwrap();
        assert_received(&peer, &[&[b"a1"], &[b"b1"]]);
        assert_idle(&queue);
    });
}

#[test]
fn frames_of_a_sender_keep_their_order() {
    explore(Preemptions::UpTo(4), || {
        let (queue, _socket, peer) = pair(WIDE);
        let other = pusher(&queue, &[b"b1", b"b2"]);
        push(&queue, &[b"a1", b"a2"]);
        other.join().unwrap();
        assert_received(&peer, &[&[b"a1", b"a2"], &[b"b1", b"b2"]]);
        assert_idle(&queue);
    });
}

#[test]
fn three_concurrent_pushes_need_no_owner() {
    explore(Preemptions::UpTo(3), || {
        let (queue, _socket, peer) = pair(WIDE);
        let others = [pusher(&queue, &[b"b1"]), pusher(&queue, &[b"c1"])];
        push(&queue, &[b"a1"]);
        for other in others {
            other.join().unwrap();
        }
        assert_received(&peer, &[&[b"a1"], &[b"b1"], &[b"c1"]]);
        assert_idle(&queue);
    });
}

#[test]
fn full_socket_wakes_the_owner() {
    explore(Preemptions::Any, || {
        let (queue, socket, peer) = pair(NARROW);
        let other = pusher(&queue, &[b"b1"]);
        push(&queue, &[b"a1"]);
        other.join().unwrap();
        settle(&queue, &socket, &peer);
        assert_received(&peer, &[&[b"a1"], &[b"b1"]]);
        assert_idle(&queue);
    });
}

#[test]
fn push_during_a_resume_is_not_left_behind() {
    explore(Preemptions::Any, || {
        let (queue, socket, peer) = pair(NARROW);
        push(&queue, &[b"a1", b"a2"]); // a partial frame is left
        queue.clear_waker();
        peer.read();
        let other = pusher(&queue, &[b"b1"]);
        queue.resume();
        other.join().unwrap();
        settle(&queue, &socket, &peer);
        assert_received(&peer, &[&[b"a1", b"a2"], &[b"b1"]]);
        assert_idle(&queue);
    });
}

#[test]
fn stall_check_of_the_owner_delays_no_push() {
    explore(Preemptions::Any, || {
        let (queue, _socket, peer) = pair(WIDE);
        let other = pusher(&queue, &[b"b1"]);
        queue.stalled_since();
        other.join().unwrap();
        assert_received(&peer, &[&[b"b1"]]);
        assert_idle(&queue);
    });
}

#[test]
fn frames_under_a_cork_are_written_when_it_is_dropped() {
    explore(Preemptions::UpTo(5), || {
        let (queue, _socket, peer) = pair(WIDE);
        let other = pusher(&queue, &[b"b1"]);
        let cork = queue.cork();
        push(&queue, &[b"a1", b"a2"]);
        assert!(peer.seen().len() <= 2);
        drop(cork);
        other.join().unwrap();
        assert_received(&peer, &[&[b"a1", b"a2"], &[b"b1"]]);
        assert_idle(&queue);
    });
}

/// Runs an owner and a peer while `pushers` push.
fn run_session(room: usize, pushers: &[&'static [&'static [u8]]]) {
    let (queue, socket, peer) = pair(room);
    let peer = Arc::new(peer);
    let threads: Vec<_> = pushers
        .iter()
        .map(|frames| pusher(&queue, frames))
        .collect();
    let owner = {
        let (queue, socket) = (queue.clone(), socket.clone());
        thread::spawn(move || while iterate(&queue, &socket) {})
    };
    let total = pushers.iter().map(|frames| frames.len()).sum::<usize>();
    peer.read_up_to(2 * total); // a deadlock, which the tools report, if the rest is never sent
    for thread in threads {
        thread.join().unwrap();
    }
    queue.waker().end();
    owner.join().unwrap();
    assert_received(&peer, pushers);
    assert!(queue.is_empty());
    assert_eq!(queue.state(), QueueState::Open);
}

#[test]
fn sleeping_owner_is_woken_when_it_has_to_write() {
    explore(Preemptions::UpTo(2), || {
        run_session(NARROW, &[&[b"a1", b"a2"]])
    });
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn narrow_socket_receives_all_frames_of_two_senders() {
        explore_many(10_000, || {
            run_session(NARROW, &[&[b"a1", b"a2", b"a3"], &[b"b1", b"b2", b"b3"]])
        });
    }

    #[test]
    fn socket_that_is_full_at_times_receives_all_frames_of_three_senders() {
        explore_many(10_000, || {
            run_session(
                7,
                &[&[b"a1", b"a2", b"a3"], &[b"b1", b"b2"], &[b"c1", b"c2"]],
            )
        });
    }

    #[test]
    fn cork_among_senders_loses_nothing() {
        explore_many(10_000, || {
            let (queue, socket, peer) = pair(5);
            let others = [
                pusher(&queue, &[b"b1", b"b2"]),
                pusher(&queue, &[b"c1", b"c2"]),
            ];
            let cork = queue.cork();
            push(&queue, &[b"a1", b"a2"]);
            drop(cork);
            for other in others {
                other.join().unwrap();
            }
            settle(&queue, &socket, &peer);
            assert_received(&peer, &[&[b"a1", b"a2"], &[b"b1", b"b2"], &[b"c1", b"c2"]]);
            assert_idle(&queue);
        });
    }
}
