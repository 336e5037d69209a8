//! Scenarios of the end of a send queue: closed, overflowed or broken during pushes.
//!
//! Accepted frames are written whole before the last frame or, where they may be dropped, not at
//! all; rejected frames are never written; and no byte stays counted.

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{FRAME_COST, Push, QueueBudget, QueueState, SendQueue};
use bifrost_model::net::socket::{Interest, Peer, Socket, connect, sleep};

/// Larger than all that a scenario sends.
const WIDE: usize = 100_000;
/// The last frame, as a close frame would be.
const LAST: &[u8] = b"ZZ";
/// The last frame of a queue that has overflowed.
const TOO_SLOW: &[u8] = b"XX";

type Frame = &'static [u8];

fn pair(room: usize, limit: usize) -> (SendQueue, Socket, Peer) {
    let (socket, peer) = connect(room);
    let budget = QueueBudget::new(WIDE);
    let queue = SendQueue::new(socket.clone(), limit, budget, TOO_SLOW.into()).unwrap();
    socket.belongs_to(queue.waker());
    (queue, socket, peer)
}

fn push(queue: &SendQueue, frame: Frame) -> Push {
    queue.push(&Bytes::from_static(frame))
}

/// Starts a thread that pushes frames; it returns those that were accepted.
fn pusher(queue: &SendQueue, frames: &'static [Frame]) -> thread::JoinHandle<Vec<Frame>> {
    let queue = queue.clone();
    let is_accepted = move |frame: &Frame| push(&queue, frame) == Push::Accepted;
    thread::spawn(move || frames.iter().copied().filter(is_accepted).collect())
}

fn close(queue: &SendQueue, last: Frame) {
    queue.close(Bytes::from_static(last));
}

/// What a session does after it has closed the queue: it writes as long as the peer reads.
fn flush(queue: &SendQueue, socket: &Socket, peer: &Peer) {
    while !queue.is_empty() {
        peer.read();
        sleep(socket, queue.waker(), Interest::WakerAndRoom);
        queue.clear_waker();
        queue.resume();
        thread::yield_now(); // to a push that has counted its bytes but not queued them yet
    }
}

/// The frames that arrived.
fn received(peer: &Peer) -> Vec<Vec<u8>> {
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
fn accepted_frames_are_written_before_the_last_frame() {
    explore(Preemptions::UpTo(4), || {
        let (queue, socket, peer) = pair(WIDE, WIDE);
        let other = pusher(&queue, &[b"b1", b"b2"]);
        close(&queue, LAST);
        let mut expected = other.join().unwrap();
        flush(&queue, &socket, &peer);
        expected.push(LAST);
        assert_eq!(received(&peer), expected);
        assert_eq!(push(&queue, b"no"), Push::Rejected);
    });
}

#[test]
fn kept_backlog_is_written_after_the_partial_frame() {
    explore(Preemptions::UpTo(4), || {
        let (queue, socket, peer) = pair(3, WIDE);
        assert_eq!(push(&queue, b"a1"), Push::Accepted);
        let other = pusher(&queue, &[b"b1", b"b2"]);
        close(&queue, LAST);
        let mut expected = vec![b"a1".as_slice()];
        expected.extend(other.join().unwrap());
        flush(&queue, &socket, &peer);
        expected.push(LAST);
        assert_eq!(received(&peer), expected);
    });
}

#[test]
fn last_frame_says_whether_the_backlog_was_dropped() {
    explore(Preemptions::Any, || {
        let (queue, socket, peer) = pair(3, FRAME_COST + 3);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&queue, frame), Push::Accepted);
        }
        let other = pusher(&queue, &[b"b1"]);
        close(&queue, LAST);
        assert_eq!(other.join().unwrap(), [b""; 0]); // closed already, or over the limit
        flush(&queue, &socket, &peer);
        let expected: &[Frame] = match queue.state() {
            QueueState::Overflowed => &[b"a1", b"a2", TOO_SLOW],
            _ => &[b"a1", b"a2", b"a3", LAST],
        };
        assert_eq!(received(&peer), expected);
        assert!(queue.is_empty());
    });
}

#[test]
fn first_of_two_closes_counts() {
    explore(Preemptions::Any, || {
        let (queue, _socket, peer) = pair(WIDE, WIDE);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || close(&queue, b"YY"))
        };
        close(&queue, LAST);
        other.join().unwrap();
        let received = received(&peer);
        assert!(received == [LAST] || received == [b"YY"], "{received:?}");
    });
}

/// Two pushes exceed the limit; the owner is woken and closes the queue.
fn overflow(limit: usize, expected: usize) {
    let (queue, socket, peer) = pair(2, limit);
    assert_eq!(push(&queue, b"a1"), Push::Accepted); // fills the socket
    assert_eq!(push(&queue, b"a2"), Push::Accepted); // is queued
    queue.clear_waker();
    let other = pusher(&queue, &[b"b1"]);
    let mut accepted = usize::from(push(&queue, b"c1") == Push::Accepted);
    accepted += other.join().unwrap().len();
    assert_eq!(accepted, expected);
    assert_eq!(queue.state(), QueueState::Overflowed);
    assert!(queue.waker().is_woken(), "the owner was not woken");
    queue.clear_waker();
    close(&queue, LAST);
    flush(&queue, &socket, &peer);
    assert_eq!(received(&peer), [b"a1", b"a2", TOO_SLOW]);
    assert!(queue.is_empty());
}

#[test]
fn overflow_wakes_the_owner() {
    explore(Preemptions::UpTo(4), || overflow(3, 0));
}

#[test]
fn overflow_drops_what_another_push_had_queued() {
    explore(Preemptions::Any, || overflow(FRAME_COST + 4, 1));
}

#[test]
fn overflow_drops_the_backlog_before_the_owner_closes() {
    explore(Preemptions::UpTo(4), || {
        let (queue, _socket, peer) = pair(2, FRAME_COST + 4);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&queue, frame), Push::Accepted);
        }
        assert_eq!(push(&queue, b"a4"), Push::Rejected);
        let other = pusher(&queue, &[b"b1"]);
        peer.read();
        queue.resume();
        other.join().unwrap();
        assert!(queue.is_empty());
        assert_eq!(received(&peer), [b"a1", b"a2"]);
    });
}

#[test]
fn overflow_during_a_resume_leaves_no_byte_counted() {
    explore(Preemptions::UpTo(4), || {
        let (queue, socket, peer) = pair(2, FRAME_COST + 4);
        assert_eq!(push(&queue, b"a1"), Push::Accepted);
        assert_eq!(push(&queue, b"a2"), Push::Accepted);
        queue.clear_waker();
        peer.read();
        let other = pusher(&queue, &[b"b1", b"b2"]);
        queue.resume();
        let accepted = other.join().unwrap();
        if queue.state() == QueueState::Overflowed {
            assert!(queue.waker().is_woken(), "the owner was not woken");
            close(&queue, LAST);
        } else {
            assert_eq!(accepted, [b"b1", b"b2"]);
        }
        flush(&queue, &socket, &peer);
        let received = received(&peer);
        let (first, rest) = received.split_at(2);
        assert_eq!(first, [b"a1", b"a2"]);
        assert!(is_start_of(rest, &accepted), "{rest:?} of {accepted:?}");
    });
}

/// Whether frames are the first ones of `accepted`, with or without the last frame.
fn is_start_of(frames: &[Vec<u8>], accepted: &[Frame]) -> bool {
    let frames = match frames.split_last() {
        Some((last, rest)) if last == TOO_SLOW => rest,
        _ => frames,
    };
    frames.len() <= accepted.len() && frames.iter().zip(accepted).all(|(a, b)| a == b)
}

/// Asserts the end of a scenario whose peer is gone, which the owner has noticed.
fn assert_broken(queue: &SendQueue) {
    assert_eq!(queue.state(), QueueState::Broken);
    assert!(queue.waker().is_woken(), "the owner was not woken");
    assert!(queue.is_empty());
    assert_eq!(queue.stalled_since(), None);
    assert_eq!(push(queue, b"no"), Push::Rejected);
    assert!(queue.is_empty());
}

#[test]
fn reset_during_two_pushes_leaves_no_byte_counted() {
    explore(Preemptions::UpTo(4), || {
        let (queue, _socket, peer) = pair(WIDE, WIDE);
        peer.reset();
        let other = pusher(&queue, &[b"b1", b"b2"]);
        let _ = push(&queue, b"a1");
        other.join().unwrap();
        assert_broken(&queue);
        assert_eq!(peer.seen(), b"");
    });
}

#[test]
fn resume_after_a_reset_drops_what_others_push() {
    explore(Preemptions::UpTo(4), || {
        let (queue, _socket, peer) = pair(3, WIDE);
        for frame in [b"a1", b"a2", b"a3"] {
            assert_eq!(push(&queue, frame), Push::Accepted);
        }
        queue.clear_waker();
        peer.reset();
        let other = pusher(&queue, &[b"b1"]);
        queue.resume();
        other.join().unwrap();
        assert_broken(&queue);
        assert_eq!(peer.seen(), b"a1a");
    });
}

#[test]
fn close_during_a_reset_writes_nothing_and_waits_for_nothing() {
    explore(Preemptions::UpTo(4), || {
        let (queue, _socket, peer) = pair(3, WIDE);
        assert_eq!(push(&queue, b"a1"), Push::Accepted);
        assert_eq!(push(&queue, b"a2"), Push::Accepted);
        peer.reset();
        let owner = {
            let queue = queue.clone();
            thread::spawn(move || queue.resume())
        };
        close(&queue, LAST);
        owner.join().unwrap();
        assert_broken(&queue);
        assert_eq!(peer.seen(), b"a1a");
    });
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;
    use bifrost_model::session::iterate;

    /// What a session does from its first frame to its last.
    fn session(queue: &SendQueue, socket: &Socket, peer: &Peer) {
        while queue.state() == QueueState::Open && iterate(queue, socket) {}
        close(queue, LAST);
        flush(queue, socket, peer);
    }

    #[test]
    fn shutdown_during_pushes_writes_all_accepted_frames() {
        explore_many(10_000, || {
            let (queue, socket, peer) = pair(5, WIDE);
            let pushers = [
                pusher(&queue, &[b"a1", b"a2", b"a3"]),
                pusher(&queue, &[b"b1", b"b2", b"b3"]),
            ];
            let shutdown = {
                let waker = queue.waker().clone();
                thread::spawn(move || waker.end())
            };
            session(&queue, &socket, &peer);
            shutdown.join().unwrap();
            let accepted = pushers.map(|pusher| pusher.join().unwrap());
            assert!(queue.is_empty());
            let mut received = received(&peer);
            assert_eq!(received.pop().as_deref(), Some(LAST));
            for (sender, accepted) in [b'a', b'b'].into_iter().zip(&accepted) {
                let mut of_sender = received.clone();
                of_sender.retain(|frame| frame[0] == sender);
                assert_eq!(&of_sender, accepted);
            }
            assert_eq!(received.len(), accepted[0].len() + accepted[1].len());
        });
    }

    #[test]
    fn slow_peer_receives_the_last_frame_and_no_torn_one() {
        explore_many(10_000, || {
            let (queue, socket, peer) = pair(3, FRAME_COST + 4);
            let pushers = [
                pusher(&queue, &[b"a1", b"a2", b"a3"]),
                pusher(&queue, &[b"b1", b"b2", b"b3"]),
            ];
            session(&queue, &socket, &peer); // 12 bytes exceed the socket's 3 and the limit of one frame
            let accepted = pushers.map(|pusher| pusher.join().unwrap());
            assert!(queue.is_empty());
            assert_eq!(queue.state(), QueueState::Overflowed);
            let mut received = received(&peer);
            assert_eq!(received.pop().as_deref(), Some(TOO_SLOW));
            for (sender, accepted) in [b'a', b'b'].into_iter().zip(&accepted) {
                let mut of_sender = received.clone();
                of_sender.retain(|frame| frame[0] == sender);
                assert!(
                    is_start_of(&of_sender, accepted),
                    "{of_sender:?} {accepted:?}"
                );
            }
        });
    }

    #[test]
    fn reset_at_any_time_is_noticed_by_a_push() {
        explore_many(10_000, || {
            let (queue, socket, peer) = pair(3, WIDE);
            let pushers = [
                pusher(&queue, &[b"a1", b"a2"]),
                pusher(&queue, &[b"b1", b"b2"]),
            ];
            let owner = {
                let (queue, socket) = (queue.clone(), socket.clone());
                let (_, unconnected) = connect(0);
                thread::spawn(move || session(&queue, &socket, &unconnected))
            };
            peer.reset();
            for pusher in pushers {
                pusher.join().unwrap();
            }
            let _ = push(&queue, b"c1"); // notices the reset if no other push has
            owner.join().unwrap();
            assert_eq!(queue.state(), QueueState::Broken);
            assert!(queue.is_empty());
        });
    }
}
