//! What is written at once, what waits, and what ends an outbox.

use super::*;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const LIMIT: usize = 64 * 1024;

/// An outbox and the peer that it writes to.
fn pair(limit: usize) -> (SendQueue, TcpStream) {
    pair_in(&QueueBudget::new(usize::MAX), limit)
}

pub(super) fn pair_in(total: &QueueBudget, limit: usize) -> (SendQueue, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let outbox = SendQueue::new(Socket::new(stream), limit, total.clone());
    (outbox.unwrap(), peer)
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn read(peer: &mut TcpStream, size: usize) -> Vec<u8> {
    let mut buffer = vec![0; size];
    peer.read_exact(&mut buffer).unwrap();
    buffer
}

/// Pushes until the socket is full and something waits.
pub(super) fn fill(outbox: &SendQueue) -> usize {
    let frame = Bytes::from(vec![b'.'; 16 * 1024]);
    let mut pushed = 0;
    while outbox.stalled_since().is_none() {
        assert_eq!(outbox.push(&frame), Push::Accepted);
        pushed += frame.len();
    }
    pushed
}

/// What the owner does when `poll` says writable.
fn drain(outbox: &SendQueue) {
    while !outbox.is_empty() {
        outbox.resume();
        thread::yield_now();
    }
}

#[test]
fn a_frame_is_written_by_whoever_pushes_it() {
    let (outbox, mut peer) = pair(LIMIT);
    assert_eq!(outbox.push(&bytes("hi")), Push::Accepted);
    assert!(outbox.is_empty());
    assert_eq!(read(&mut peer, 2), b"hi");
}

#[test]
fn what_the_socket_does_not_take_waits_for_the_owner() {
    let (outbox, mut peer) = pair(LIMIT);
    let pushed = fill(&outbox);
    assert_eq!(outbox.push(&bytes("last")), Push::Accepted);
    let reader = thread::spawn(move || read(&mut peer, pushed + 4));
    drain(&outbox);
    assert_eq!(reader.join().unwrap()[pushed..], *b"last");
    assert!(outbox.stalled_since().is_none());
}

#[test]
fn more_than_the_limit_overflows_for_good() {
    let (outbox, _peer) = pair(LIMIT);
    fill(&outbox);
    assert_eq!(outbox.push(&Bytes::from(vec![0; LIMIT])), Push::Rejected);
    assert_eq!(outbox.state(), QueueState::Overflowed);
    assert_eq!(outbox.push(&bytes("small")), Push::Rejected);
}

#[test]
fn a_frame_over_the_limit_is_taken_when_nothing_waits() {
    let (outbox, mut peer) = pair(10);
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    assert_eq!(outbox.push(&large), Push::Accepted);
    assert_eq!(outbox.push(&bytes("more")), Push::Rejected);
    let reader = thread::spawn(move || read(&mut peer, 8 << 20));
    drain(&outbox);
    assert_eq!(reader.join().unwrap(), large);
}

#[test]
fn a_sealed_outbox_keeps_its_backlog_and_takes_no_more() {
    let (outbox, mut peer) = pair(LIMIT);
    let pushed = fill(&outbox);
    assert_eq!(outbox.push(&bytes("kept")), Push::Accepted);
    outbox.close(bytes("bye"), Backlog::Keep);
    outbox.close(bytes("twice"), Backlog::Drop);
    assert_eq!(outbox.push(&bytes("late")), Push::Rejected);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all).unwrap()
    });
    drain(&outbox);
    drop(outbox);
    assert_eq!(reader.join().unwrap()[pushed..], *b"keptbye");
}

#[test]
fn a_dropped_backlog_leaves_the_frame_that_was_begun() {
    let (outbox, mut peer) = pair(LIMIT);
    let pushed = fill(&outbox);
    assert_eq!(outbox.push(&bytes("dropped")), Push::Accepted);
    outbox.close(bytes("bye"), Backlog::Drop);
    let reader = thread::spawn(move || read(&mut peer, pushed + 3));
    drain(&outbox);
    assert_eq!(reader.join().unwrap()[pushed..], *b"bye");
}

#[test]
fn a_cork_lets_frames_wait_and_go_together() {
    let (outbox, mut peer) = pair(LIMIT);
    let cork = outbox.cork();
    assert_eq!(outbox.push(&bytes("one")), Push::Accepted);
    assert_eq!(outbox.push(&bytes("two")), Push::Accepted);
    drop(cork);
    assert_eq!(read(&mut peer, 6), b"onetwo");
}

#[test]
fn a_peer_that_is_gone_breaks_the_outbox() {
    let (outbox, peer) = pair(LIMIT);
    fill(&outbox);
    drop(peer); // with unread input: a reset
    while outbox.state() == QueueState::Open {
        outbox.resume();
    }
    assert_eq!(outbox.state(), QueueState::Broken);
    assert_eq!(outbox.push(&bytes("x")), Push::Rejected);
    assert!(outbox.is_empty());
}

#[test]
fn frames_of_many_threads_arrive_whole_once_and_in_each_ones_order() {
    const THREADS: u32 = 4;
    const FRAMES: u32 = 20_000;
    let (outbox, mut peer) = pair(usize::MAX);
    let pushers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let outbox = outbox.clone();
            thread::spawn(move || {
                for number in 0..FRAMES {
                    let frame = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    assert_eq!(outbox.push(&frame.into()), Push::Accepted);
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
    while pushers.iter().any(|pusher| !pusher.is_finished()) || !outbox.is_empty() {
        if outbox.stalled_since().is_some() {
            outbox.resume();
        }
        thread::yield_now();
    }
    reader.join().unwrap();
}
