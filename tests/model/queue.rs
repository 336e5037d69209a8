//! Scenes of an outbox that takes frames: nothing is lost, doubled, torn or forgotten.
//!
//! A scene looks at what the peer got before it touches the outbox, because many calls would
//! make up for a wake-up that was lost. Frames have two bytes, their sender and a number.

use std::sync::Arc;

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{Push, QueueBudget, QueueState, SendQueue};
use bifrost_model::net::socket::{Interest, Peer, Socket, connect, sleep};

/// Room for all that a scene sends.
const WIDE: usize = 1_000;
/// Room for one frame and the half of another.
const NARROW: usize = 3;

fn pair(room: usize) -> (SendQueue, Socket, Peer) {
    let (socket, peer) = connect(room);
    let outbox = SendQueue::new(socket.clone(), WIDE, QueueBudget::new(WIDE)).unwrap();
    socket.belongs_to(outbox.bell());
    (outbox, socket, peer)
}

fn push(outbox: &SendQueue, frames: &[&'static [u8]]) {
    for frame in frames {
        assert_eq!(outbox.push(&Bytes::from_static(frame)), Push::Accepted);
    }
}

/// A thread that pushes frames.
fn pusher(outbox: &SendQueue, frames: &'static [&'static [u8]]) -> thread::JoinHandle<()> {
    let outbox = outbox.clone();
    thread::spawn(move || push(&outbox, frames))
}

/// What came must be exactly these frames, whole, those of each sender in their order.
fn assert_came(peer: &Peer, senders: &[&[&[u8]]]) {
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

/// The end of a scene in which the owner had nothing to do.
fn assert_idle(outbox: &SendQueue) {
    assert!(!outbox.bell().is_rung());
    assert!(outbox.is_empty());
    assert_eq!(outbox.state(), QueueState::Open);
    assert_eq!(outbox.stalled_since(), None);
}

/// One turn of a session: sleeps, answers the bell, writes. False when all is over.
fn take_turn(outbox: &SendQueue, socket: &Socket) -> bool {
    let interest = match outbox.stalled_since() {
        Some(_) => Interest::BellAndRoom,
        None => Interest::Bell,
    };
    let woken = sleep(socket, outbox.bell(), interest);
    if woken.is_rung {
        outbox.answer_bell();
    }
    if woken.can_write {
        outbox.resume();
    }
    !woken.is_over
}

/// Does what the owner would, once the bell has called it, until it would sleep.
fn settle(outbox: &SendQueue, socket: &Socket, peer: &Peer) {
    if outbox.bell().is_rung() {
        outbox.answer_bell();
        while outbox.stalled_since().is_some() {
            peer.read();
            take_turn(outbox, socket);
        }
    }
    assert_eq!(outbox.state(), QueueState::Open);
}

#[test]
fn two_that_push_at_once_need_nobody_else() {
    explore(Preemptions::Any, || {
        let (outbox, _socket, peer) = pair(WIDE);
        let other = pusher(&outbox, &[b"b1"]);
        push(&outbox, &[b"a1"]);
        other.join().unwrap();
        assert_came(&peer, &[&[b"a1"], &[b"b1"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn each_senders_frames_keep_their_order() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, _socket, peer) = pair(WIDE);
        let other = pusher(&outbox, &[b"b1", b"b2"]);
        push(&outbox, &[b"a1", b"a2"]);
        other.join().unwrap();
        assert_came(&peer, &[&[b"a1", b"a2"], &[b"b1", b"b2"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn three_that_push_at_once_need_nobody_else() {
    explore(Preemptions::UpTo(3), || {
        let (outbox, _socket, peer) = pair(WIDE);
        let others = [pusher(&outbox, &[b"b1"]), pusher(&outbox, &[b"c1"])];
        push(&outbox, &[b"a1"]);
        for other in others {
            other.join().unwrap();
        }
        assert_came(&peer, &[&[b"a1"], &[b"b1"], &[b"c1"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn what_a_full_socket_does_not_take_rings_the_owner() {
    explore(Preemptions::Any, || {
        let (outbox, socket, peer) = pair(NARROW);
        let other = pusher(&outbox, &[b"b1"]);
        push(&outbox, &[b"a1"]);
        other.join().unwrap();
        settle(&outbox, &socket, &peer);
        assert_came(&peer, &[&[b"a1"], &[b"b1"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn a_push_that_meets_the_resuming_owner_is_not_forgotten() {
    explore(Preemptions::Any, || {
        let (outbox, socket, peer) = pair(NARROW);
        push(&outbox, &[b"a1", b"a2"]); // a torn frame waits
        outbox.answer_bell();
        peer.read();
        let other = pusher(&outbox, &[b"b1"]);
        outbox.resume();
        other.join().unwrap();
        settle(&outbox, &socket, &peer);
        assert_came(&peer, &[&[b"a1", b"a2"], &[b"b1"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn an_owner_that_only_looks_delays_nobody() {
    explore(Preemptions::Any, || {
        let (outbox, _socket, peer) = pair(WIDE);
        let other = pusher(&outbox, &[b"b1"]);
        outbox.stalled_since();
        other.join().unwrap();
        assert_came(&peer, &[&[b"b1"]]);
        assert_idle(&outbox);
    });
}

#[test]
fn frames_under_a_cork_go_out_when_it_is_pulled() {
    explore(Preemptions::UpTo(5), || {
        let (outbox, _socket, peer) = pair(WIDE);
        let other = pusher(&outbox, &[b"b1"]);
        let cork = outbox.cork();
        push(&outbox, &[b"a1", b"a2"]);
        assert!(peer.seen().len() <= 2);
        drop(cork);
        other.join().unwrap();
        assert_came(&peer, &[&[b"a1", b"a2"], &[b"b1"]]);
        assert_idle(&outbox);
    });
}

/// An owner and a peer that live as long as `pushers` push.
fn live(room: usize, pushers: &[&'static [&'static [u8]]]) {
    let (outbox, socket, peer) = pair(room);
    let peer = Arc::new(peer);
    let threads: Vec<_> = pushers
        .iter()
        .map(|frames| pusher(&outbox, frames))
        .collect();
    let owner = {
        let (outbox, socket) = (outbox.clone(), socket.clone());
        thread::spawn(move || while take_turn(&outbox, &socket) {})
    };
    let total = pushers.iter().map(|frames| frames.len()).sum::<usize>();
    peer.read_up_to(2 * total); // the tools call it a deadlock when nobody sends the rest
    for thread in threads {
        thread.join().unwrap();
    }
    outbox.bell().end();
    owner.join().unwrap();
    assert_came(&peer, pushers);
    assert!(outbox.is_empty());
    assert_eq!(outbox.state(), QueueState::Open);
}

#[test]
fn an_owner_that_sleeps_is_woken_when_it_has_to_write() {
    explore(Preemptions::UpTo(2), || live(NARROW, &[&[b"a1", b"a2"]]));
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn a_narrow_socket_gets_all_of_two_senders() {
        explore_many(10_000, || {
            live(NARROW, &[&[b"a1", b"a2", b"a3"], &[b"b1", b"b2", b"b3"]])
        });
    }

    #[test]
    fn a_socket_that_is_full_now_and_then_gets_all_of_three_senders() {
        explore_many(10_000, || {
            live(
                7,
                &[&[b"a1", b"a2", b"a3"], &[b"b1", b"b2"], &[b"c1", b"c2"]],
            )
        });
    }

    #[test]
    fn corks_between_senders_lose_nothing() {
        explore_many(10_000, || {
            let (outbox, socket, peer) = pair(5);
            let others = [
                pusher(&outbox, &[b"b1", b"b2"]),
                pusher(&outbox, &[b"c1", b"c2"]),
            ];
            let cork = outbox.cork();
            push(&outbox, &[b"a1", b"a2"]);
            drop(cork);
            for other in others {
                other.join().unwrap();
            }
            settle(&outbox, &socket, &peer);
            assert_came(&peer, &[&[b"a1", b"a2"], &[b"b1", b"b2"], &[b"c1", b"c2"]]);
            assert_idle(&outbox);
        });
    }
}
