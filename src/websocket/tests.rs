//! Sessions over a real socket, without a hub.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::session::TimeLimits;
use super::{Disconnect, Session, WebSocketPush, frame};
use crate::hub::queue::{Push, QueueBudget, SendQueue};
use crate::net::socket::Socket;
use crate::net::{InputBudget, Shutdown};

const LIMIT: Duration = Duration::from_secs(20);
/// A masked ping with a payload of two bytes; the mask changes nothing.
const PING: &[u8] = b"\x89\x82\0\0\0\0hi";
const PONG: &[u8] = b"\x8a\x02hi";
/// What may arrive on all connections together, beyond what each has free, in bytes.
const INPUT_TOTAL: usize = 8 * 1024;
/// More than the kernel takes off a queue, in bytes, while the peer does not read.
const BACKLOG: usize = 24 << 20;

/// A session, its queue and socket, and the peer.
fn session() -> (Session, SendQueue, Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let (socket, budget) = (Socket::new(stream), QueueBudget::new(1 << 30));
    let queue = SendQueue::new(socket.clone(), 1 << 30, budget, frame::TOO_SLOW).unwrap();
    let limits = TimeLimits {
        ping_interval: LIMIT,
        write: LIMIT,
    };
    let push = WebSocketPush::new(queue.clone());
    let (early, shutdown) = (Vec::new(), Shutdown::new().unwrap());
    let charge = InputBudget::new(INPUT_TOTAL).charge();
    let session = Session::new(socket.clone(), push, early, charge, limits, shutdown);
    (session, queue, socket, peer)
}

#[test]
fn client_that_does_not_read_its_answers_is_not_read_either() {
    const PINGS: usize = 900;
    let (mut session, queue, socket, mut peer) = session();
    let frame: Bytes = vec![b'.'; 16 * 1024].into();
    for _ in 0..BACKLOG / frame.len() {
        assert_eq!(queue.push(&frame), Push::Accepted);
    }
    peer.write_all(&PING.repeat(PINGS)).unwrap();
    let running = thread::spawn(move || {
        let reason = session.next(None).unwrap_err();
        session.finish(reason);
        reason
    });
    let unread_until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < unread_until {
        assert!(socket.has_input(), "all pings were read");
        thread::sleep(Duration::from_millis(1));
    }
    let mut received = vec![0; BACKLOG + PINGS * PONG.len()];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(received[BACKLOG..], PONG.repeat(PINGS));
    peer.write_all(b"\x88\x82\0\0\0\0\x03\xe8").unwrap();
    assert_eq!(
        running.join().unwrap(),
        Disconnect::ClientClosed(Some(1000))
    );
}

#[test]
fn message_for_which_there_is_no_memory_ends_the_session() {
    let (mut session, _queue, _socket, mut peer) = session();
    let begin = |size: u16| {
        let [high, low] = size.to_be_bytes();
        [0x01, 0xfe, high, low, 0, 0, 0, 0]
    };
    let fits = INPUT_TOTAL as u16;
    peer.write_all(&begin(fits)).unwrap();
    peer.write_all(&vec![b'x'; INPUT_TOTAL]).unwrap();
    peer.write_all(b"\x89\x80\0\0\0\0").unwrap();
    let running = thread::spawn(move || session.next(None).unwrap_err());
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).unwrap();
    assert_eq!(pong, *b"\x8a\0"); // the first fragment fits, twice its size with what is free
    peer.write_all(b"\x00\xfe\x01\0\0\0\0\0").unwrap();
    assert_eq!(running.join().unwrap(), Disconnect::OverInputBudget);
}
