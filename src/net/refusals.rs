//! Refuses connections without a thread.
//!
//! The acceptor writes a short answer, and keeps the socket for a moment: closing it with unread
//! input makes the kernel send a reset, which can overtake the answer (RFC 9112 §9.6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::socket::Socket;

/// Most refused connections that are kept; the oldest is closed for another.
const MAX_KEPT: usize = 64;
/// How long one is kept at most.
const LINGER: Duration = Duration::from_secs(1);
/// How often those that are kept are looked at.
const RECHECK: Duration = Duration::from_millis(50);
/// Most bytes of one that are dropped at a time.
const DROPPED: usize = 64 * 1024;

/// Refused connections that have still to take their answer.
#[derive(Debug, Default)]
pub struct Refusals {
    /// With the time at which each is closed, the oldest first.
    kept: VecDeque<(Instant, Socket)>,
}

impl Refusals {
    /// Answers a connection without waiting, and ends it a moment later.
    pub fn refuse(&mut self, socket: Socket, answer: &[u8]) {
        let sent = socket.send(answer);
        if sent.is_err() || !socket.end_sending() {
            return; // the peer is gone already
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((Instant::now() + LINGER, socket));
        self.close_ended();
    }

    /// Drops what has arrived, and closes those that have ended, or had their time.
    pub fn close_ended(&mut self) {
        let now = Instant::now();
        self.kept
            .retain(|(until, socket)| now < *until && socket.drop_input(DROPPED));
    }

    /// When [`Refusals::close_ended`] has to be called again, if any are kept.
    pub fn next_check(&self) -> Option<Instant> {
        (!self.kept.is_empty()).then(|| Instant::now() + RECHECK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (Socket::new(stream), peer)
    }

    #[test]
    fn the_answer_arrives_although_the_peer_goes_on_sending() {
        let (socket, mut peer) = pair();
        peer.write_all(b"GET / HTTP/1.1").unwrap();
        let mut refusals = Refusals::default();
        refusals.refuse(socket, b"no");
        peer.write_all(&[b'x'; 10_000]).unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "no");
        assert!(refusals.next_check().is_some());
        drop(peer);
        let deadline = Instant::now() + DEADLINE;
        while refusals.next_check().is_some() {
            assert!(Instant::now() < deadline, "it is kept");
            refusals.close_ended();
            thread::yield_now();
        }
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut refusals = Refusals::default();
        let mut peers = Vec::new();
        for _ in 0..MAX_KEPT + 3 {
            let (socket, peer) = pair();
            refusals.refuse(socket, b"no");
            peers.push(peer);
        }
        assert_eq!(refusals.kept.len(), MAX_KEPT);
    }
}
