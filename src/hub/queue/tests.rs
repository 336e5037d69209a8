//! Writing at once, waiting, closing and breaking of a send queue.

use super::writer::FRAME_COST;
use super::*;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: usize = 64 * 1024;

/// A queue and the peer that it writes to.
fn pair(limit: usize) -> (SendQueue, TcpStream) {
    pair_in(&QueueBudget::new(usize::MAX), limit)
}

pub(super) fn pair_in(budget: &QueueBudget, limit: usize) -> (SendQueue, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let queue = SendQueue::new(Socket::new(stream), limit, budget.clone(), bytes("slow"));
    (queue.unwrap(), peer)
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn read(peer: &mut TcpStream, size: usize) -> Vec<u8> {
    let mut buffer = vec![0; size];
    peer.read_exact(&mut buffer).unwrap();
    buffer
}

/// Pushes until the socket is full and bytes wait.
pub(super) fn fill(queue: &SendQueue) -> usize {
    let frame = Bytes::from(vec![b'.'; 16 * 1024]);
    let mut pushed = 0;
    while queue.stalled_since().is_none() {
        assert_eq!(queue.push(&frame), Push::Accepted);
        pushed += frame.len();
    }
    pushed
}

/// Does what the owner does when `poll` says writable, until a condition holds.
fn resume_until(queue: &SendQueue, is_so: impl Fn(&SendQueue) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so(queue) {
        assert!(
            Instant::now() < deadline,
            "it does not become so: {queue:?}"
        );
        queue.resume();
        thread::yield_now();
    }
}

/// Writes all that waits.
pub(super) fn drain(queue: &SendQueue) {
    resume_until(queue, SendQueue::is_empty);
}

/// Writes until the queue notices that its peer is gone.
pub(super) fn until_broken(queue: &SendQueue) {
    resume_until(queue, |queue| queue.state() != QueueState::Open);
}

#[test]
fn a_frame_is_written_by_the_pushing_thread() {
    let (queue, mut peer) = pair(LIMIT);
    assert_eq!(queue.push(&bytes("hi")), Push::Accepted);
    assert!(queue.is_empty());
    assert_eq!(read(&mut peer, 2), b"hi");
}

#[test]
fn what_the_socket_does_not_take_waits_for_the_owner() {
    let (queue, mut peer) = pair(LIMIT);
    let pushed = fill(&queue);
    assert_eq!(queue.push(&bytes("last")), Push::Accepted);
    let reader = thread::spawn(move || read(&mut peer, pushed + 4));
    drain(&queue);
    assert_eq!(reader.join().unwrap()[pushed..], *b"last");
    assert!(queue.stalled_since().is_none());
}

#[test]
fn more_than_the_limit_overflows_for_good() {
    let (queue, _peer) = pair(LIMIT);
    fill(&queue);
    assert_eq!(queue.push(&Bytes::from(vec![0; LIMIT])), Push::Rejected);
    assert_eq!(queue.state(), QueueState::Overflowed);
    assert_eq!(queue.push(&bytes("small")), Push::Rejected);
}

#[test]
fn waiting_frames_count_what_they_cost_besides_their_bytes() {
    let (queue, _peer) = pair(LIMIT);
    fill(&queue);
    let tiny = bytes("x");
    let mut accepted = 0;
    while queue.push(&tiny) == Push::Accepted {
        accepted += 1;
    }
    assert!(accepted > 0 && accepted * FRAME_COST <= LIMIT, "{accepted}");
}

#[test]
fn a_frame_over_the_limit_is_accepted_when_nothing_waits() {
    let (queue, mut peer) = pair(10);
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    assert_eq!(queue.push(&large), Push::Accepted);
    assert_eq!(queue.push(&bytes("more")), Push::Rejected);
    let reader = thread::spawn(move || read(&mut peer, 8 << 20));
    drain(&queue);
    assert_eq!(reader.join().unwrap(), large);
}

#[test]
fn a_closed_queue_keeps_its_backlog_and_rejects_pushes() {
    let (queue, mut peer) = pair(LIMIT);
    let pushed = fill(&queue);
    assert_eq!(queue.push(&bytes("kept")), Push::Accepted);
    queue.close(bytes("bye"));
    queue.close(bytes("twice"));
    assert_eq!(queue.push(&bytes("late")), Push::Rejected);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all).unwrap()
    });
    drain(&queue);
    drop(queue);
    assert_eq!(reader.join().unwrap()[pushed..], *b"keptbye");
}

#[test]
fn an_overflow_drops_the_backlog_but_for_the_frame_in_flight() {
    let (queue, mut peer) = pair(LIMIT);
    let pushed = fill(&queue);
    assert_eq!(queue.push(&bytes("dropped")), Push::Accepted);
    assert_eq!(queue.push(&bytes(&"x".repeat(LIMIT))), Push::Rejected);
    queue.close(bytes("bye"));
    let reader = thread::spawn(move || read(&mut peer, pushed + 4));
    drain(&queue);
    assert_eq!(reader.join().unwrap()[pushed..], *b"slow");
}

#[test]
fn corked_frames_go_together() {
    let (queue, mut peer) = pair(LIMIT);
    let cork = queue.cork();
    assert_eq!(queue.push(&bytes("one")), Push::Accepted);
    assert_eq!(queue.push(&bytes("two")), Push::Accepted);
    drop(cork);
    assert_eq!(read(&mut peer, 6), b"onetwo");
}

#[test]
fn a_peer_that_is_gone_breaks_the_queue() {
    let (queue, peer) = pair(LIMIT);
    fill(&queue);
    drop(peer); // with unread input: a reset
    until_broken(&queue);
    assert_eq!(queue.state(), QueueState::Broken);
    assert_eq!(queue.push(&bytes("x")), Push::Rejected);
    assert!(queue.is_empty());
}

#[test]
fn frames_of_many_threads_arrive_whole_once_and_in_order() {
    const THREADS: u32 = 4;
    const FRAMES: u32 = 20_000;
    let (queue, mut peer) = pair(usize::MAX);
    let pushers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let queue = queue.clone();
            thread::spawn(move || {
                for number in 0..FRAMES {
                    let frame = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    assert_eq!(queue.push(&frame.into()), Push::Accepted);
                }
            })
        })
        .collect();
    let reader = thread::spawn(move || {
        let mut next = [0; THREADS as usize];
        for _ in 0..THREADS * FRAMES {
            let frame = read(&mut peer, 8);
            let (thread, number) = frame.split_at(4);
            let thread = u32::from_be_bytes(thread.try_into().unwrap()) as usize;
            assert_eq!(number, u32::to_be_bytes(next[thread]));
            next[thread] += 1;
        }
    });
    resume_until(&queue, |queue| {
        pushers.iter().all(thread::JoinHandle::is_finished) && queue.is_empty()
    });
    reader.join().unwrap();
}
