//! Scenes of an outbox that ends: sealed, overflowed or broken while others push.
//!
//! Whatever was taken goes out whole before the last frame or, where it may be dropped, not
//! at all; what was refused never goes out; and no byte stays counted.

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{Backlog, Push, QueueBudget, QueueState, SendQueue};
use bifrost_model::net::socket::{Interest, Peer, Socket, connect, sleep};

/// Room for all that a scene sends.
const WIDE: usize = 1_000;
/// The last frame.
const LAST: &[u8] = b"ZZ";

type Frame = &'static [u8];

fn pair(room: usize, limit: usize) -> (SendQueue, Socket, Peer) {
    let (socket, peer) = connect(room);
    let outbox = SendQueue::new(socket.clone(), limit, QueueBudget::new(WIDE)).unwrap();
    socket.belongs_to(outbox.bell());
    (outbox, socket, peer)
}

fn push(outbox: &SendQueue, frame: Frame) -> Push {
    outbox.push(&Bytes::from_static(frame))
}

/// A thread that pushes frames; gives those that were taken.
fn pusher(outbox: &SendQueue, frames: &'static [Frame]) -> thread::JoinHandle<Vec<Frame>> {
    let outbox = outbox.clone();
    let is_taken = move |frame: &Frame| push(&outbox, frame) == Push::Accepted;
    thread::spawn(move || frames.iter().copied().filter(is_taken).collect())
}

fn close(outbox: &SendQueue, last: Frame, backlog: Backlog) {
    outbox.close(Bytes::from_static(last), backlog);
}

/// What a session does behind a seal: it writes as long as the peer reads.
fn flush(outbox: &SendQueue, socket: &Socket, peer: &Peer) {
    while !outbox.is_empty() {
        peer.read();
        sleep(socket, outbox.bell(), Interest::BellAndRoom);
        outbox.answer_bell();
        outbox.resume();
        thread::yield_now(); // to a push that has counted its bytes and not queued them yet
    }
}

/// Frames that came, one by one.
fn came(peer: &Peer) -> Vec<Vec<u8>> {
    let seen = peer.seen();
    assert_eq!(
        seen.len() % 2,
        0,
        "torn: {:?}",
        String::from_utf8_lossy(&seen)
    );
    seen.chunks(2).map(<[u8]>::to_vec).collect()
}

#[test]
fn what_was_taken_goes_out_before_the_last_frame() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, socket, peer) = pair(WIDE, WIDE);
        let other = pusher(&outbox, &[b"b1", b"b2"]);
        close(&outbox, LAST, Backlog::Keep);
        let mut expected = other.join().unwrap();
        flush(&outbox, &socket, &peer);
        expected.push(LAST);
        assert_eq!(came(&peer), expected);
        assert_eq!(push(&outbox, b"no"), Push::Rejected);
    });
}

#[test]
fn a_backlog_that_is_kept_goes_out_behind_what_the_socket_took_in_part() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, socket, peer) = pair(3, WIDE);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        let other = pusher(&outbox, &[b"b1", b"b2"]);
        close(&outbox, LAST, Backlog::Keep);
        let mut expected = vec![b"a1".as_slice()];
        expected.extend(other.join().unwrap());
        flush(&outbox, &socket, &peer);
        expected.push(LAST);
        assert_eq!(came(&peer), expected);
    });
}

#[test]
fn a_backlog_that_is_dropped_leaves_the_frame_that_was_begun() {
    explore(Preemptions::Any, || {
        let (outbox, socket, peer) = pair(3, WIDE);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&outbox, frame), Push::Accepted);
        }
        let other = pusher(&outbox, &[b"b1"]);
        close(&outbox, LAST, Backlog::Drop);
        other.join().unwrap();
        flush(&outbox, &socket, &peer);
        assert_eq!(came(&peer), [b"a1", b"a2", LAST]);
        assert!(outbox.is_empty());
    });
}

#[test]
fn only_the_first_of_two_seals_counts() {
    explore(Preemptions::Any, || {
        let (outbox, _socket, peer) = pair(WIDE, WIDE);
        let other = {
            let outbox = outbox.clone();
            thread::spawn(move || close(&outbox, b"YY", Backlog::Keep))
        };
        close(&outbox, LAST, Backlog::Keep);
        other.join().unwrap();
        let came = came(&peer);
        assert!(came == [LAST] || came == [b"YY"], "{came:?}");
    });
}

/// Two push what is too much for the limit; the owner finds out and says farewell.
fn overflow(limit: usize, most_taken: usize) {
    let (outbox, socket, peer) = pair(2, limit);
    assert_eq!(push(&outbox, b"a1"), Push::Accepted); // fills the socket
    assert_eq!(push(&outbox, b"a2"), Push::Accepted); // waits
    outbox.answer_bell();
    let other = pusher(&outbox, &[b"b1"]);
    let mut taken = usize::from(push(&outbox, b"c1") == Push::Accepted);
    taken += other.join().unwrap().len();
    assert_eq!(taken, most_taken);
    assert_eq!(outbox.state(), QueueState::Overflowed);
    assert!(outbox.bell().is_rung(), "the owner sleeps on");
    outbox.answer_bell();
    close(&outbox, LAST, Backlog::Drop);
    flush(&outbox, &socket, &peer);
    assert_eq!(came(&peer), [b"a1", b"a2", LAST]);
    assert!(outbox.is_empty());
}

#[test]
fn an_overflow_calls_the_owner_who_says_farewell() {
    explore(Preemptions::UpTo(4), || overflow(3, 0));
}

#[test]
fn an_overflow_drops_what_another_had_queued() {
    explore(Preemptions::Any, || overflow(4, 1));
}

#[test]
fn an_overflow_drops_what_waits_before_its_owner_has_said_farewell() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, _socket, peer) = pair(2, 4);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&outbox, frame), Push::Accepted);
        }
        assert_eq!(push(&outbox, b"a4"), Push::Rejected);
        let other = pusher(&outbox, &[b"b1"]);
        peer.read();
        outbox.resume();
        other.join().unwrap();
        assert!(outbox.is_empty());
        assert_eq!(came(&peer), [b"a1", b"a2"]);
    });
}

#[test]
fn an_overflow_beside_a_resume_leaves_no_byte_counted() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, socket, peer) = pair(2, 4);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        assert_eq!(push(&outbox, b"a2"), Push::Accepted);
        outbox.answer_bell();
        peer.read();
        let other = pusher(&outbox, &[b"b1", b"b2"]);
        outbox.resume();
        let taken = other.join().unwrap();
        if outbox.state() == QueueState::Overflowed {
            assert!(outbox.bell().is_rung(), "the owner sleeps on");
            close(&outbox, LAST, Backlog::Drop);
        } else {
            assert_eq!(taken, [b"b1", b"b2"]);
        }
        flush(&outbox, &socket, &peer);
        let came = came(&peer);
        let (began, rest) = came.split_at(2);
        assert_eq!(began, [b"a1", b"a2"]);
        assert!(is_start_of(rest, &taken), "{rest:?} of {taken:?}");
    });
}

/// Whether frames are the first ones of `taken`, and perhaps the last frame.
fn is_start_of(frames: &[Vec<u8>], taken: &[Frame]) -> bool {
    let frames = match frames.split_last() {
        Some((last, rest)) if last == LAST => rest,
        _ => frames,
    };
    frames.len() <= taken.len() && frames.iter().zip(taken).all(|(a, b)| a == b)
}

/// The end of a scene whose peer is gone, and whose owner has seen it.
fn assert_broken(outbox: &SendQueue) {
    assert_eq!(outbox.state(), QueueState::Broken);
    assert!(outbox.bell().is_rung(), "the owner sleeps on");
    assert!(outbox.is_empty());
    assert_eq!(outbox.stalled_since(), None);
    assert_eq!(push(outbox, b"no"), Push::Rejected);
    assert!(outbox.is_empty());
}

#[test]
fn a_peer_that_goes_while_two_push_leaves_no_byte_counted() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, _socket, peer) = pair(WIDE, WIDE);
        peer.reset();
        let other = pusher(&outbox, &[b"b1", b"b2"]);
        let _ = push(&outbox, b"a1");
        other.join().unwrap();
        assert_broken(&outbox);
        assert_eq!(peer.seen(), b"");
    });
}

#[test]
fn a_resume_that_finds_the_peer_gone_drops_what_others_push() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, _socket, peer) = pair(3, WIDE);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&outbox, frame), Push::Accepted);
        }
        outbox.answer_bell();
        peer.reset();
        let other = pusher(&outbox, &[b"b1"]);
        outbox.resume();
        other.join().unwrap();
        assert_broken(&outbox);
        assert_eq!(peer.seen(), b"a1a");
    });
}

#[test]
fn a_seal_beside_a_break_sends_nothing_and_waits_for_nothing() {
    explore(Preemptions::UpTo(4), || {
        let (outbox, _socket, peer) = pair(3, WIDE);
        assert_eq!(push(&outbox, b"a1"), Push::Accepted);
        assert_eq!(push(&outbox, b"a2"), Push::Accepted);
        peer.reset();
        let owner = {
            let outbox = outbox.clone();
            thread::spawn(move || outbox.resume())
        };
        close(&outbox, LAST, Backlog::Keep);
        owner.join().unwrap();
        assert_broken(&outbox);
        assert_eq!(peer.seen(), b"a1a");
    });
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    /// What a session does from its first frame to its last.
    fn session(outbox: &SendQueue, socket: &Socket, peer: &Peer) {
        while outbox.state() == QueueState::Open {
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
            if woken.is_over {
                break;
            }
        }
        let backlog = match outbox.state() {
            QueueState::Overflowed => Backlog::Drop,
            _ => Backlog::Keep,
        };
        close(outbox, LAST, backlog);
        flush(outbox, socket, peer);
    }

    #[test]
    fn a_stop_in_the_midst_of_pushes_keeps_all_that_was_taken() {
        explore_many(10_000, || {
            let (outbox, socket, peer) = pair(5, WIDE);
            let pushers = [
                pusher(&outbox, &[b"a1", b"a2", b"a3"]),
                pusher(&outbox, &[b"b1", b"b2", b"b3"]),
            ];
            let stop = {
                let bell = outbox.bell().clone();
                thread::spawn(move || bell.end())
            };
            session(&outbox, &socket, &peer);
            stop.join().unwrap();
            let taken = pushers.map(|pusher| pusher.join().unwrap());
            assert!(outbox.is_empty());
            let mut came = came(&peer);
            assert_eq!(came.pop().as_deref(), Some(LAST));
            for (sender, taken) in [b'a', b'b'].into_iter().zip(&taken) {
                let mut of_sender = came.clone();
                of_sender.retain(|frame| frame[0] == sender);
                assert_eq!(&of_sender, taken);
            }
            assert_eq!(came.len(), taken[0].len() + taken[1].len());
        });
    }

    #[test]
    fn a_slow_peer_is_told_so_and_gets_no_torn_frame() {
        explore_many(10_000, || {
            let (outbox, socket, peer) = pair(3, 4);
            let pushers = [
                pusher(&outbox, &[b"a1", b"a2", b"a3"]),
                pusher(&outbox, &[b"b1", b"b2", b"b3"]),
            ];
            session(&outbox, &socket, &peer); // 12 bytes are too many for 3 and 4
            let taken = pushers.map(|pusher| pusher.join().unwrap());
            assert!(outbox.is_empty());
            assert_eq!(outbox.state(), QueueState::Overflowed);
            let mut came = came(&peer);
            assert_eq!(came.pop().as_deref(), Some(LAST));
            for (sender, taken) in [b'a', b'b'].into_iter().zip(&taken) {
                let mut of_sender = came.clone();
                of_sender.retain(|frame| frame[0] == sender);
                assert!(is_start_of(&of_sender, taken), "{of_sender:?} {taken:?}");
            }
        });
    }

    #[test]
    fn a_peer_that_goes_at_any_time_is_noticed_by_who_pushes() {
        explore_many(10_000, || {
            let (outbox, socket, peer) = pair(3, WIDE);
            let pushers = [
                pusher(&outbox, &[b"a1", b"a2"]),
                pusher(&outbox, &[b"b1", b"b2"]),
            ];
            let owner = {
                let (outbox, socket) = (outbox.clone(), socket.clone());
                let (_, nobody) = connect(0);
                thread::spawn(move || session(&outbox, &socket, &nobody))
            };
            peer.reset();
            for pusher in pushers {
                pusher.join().unwrap();
            }
            let _ = push(&outbox, b"c1"); // notices, if nobody had yet
            owner.join().unwrap();
            assert_eq!(outbox.state(), QueueState::Broken);
            assert!(outbox.is_empty());
        });
    }
}
