//! Thousands of subscribers in one thread: non-blocking sockets behind one epoll.
//!
//! Each subscriber checks every message that it receives: whole, in the publisher's order,
//! none missing and none twice.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_linger;

use super::publisher;
use crate::support::raw::{CLOSE, HANDSHAKE, PING, PONG, TEXT, confirmation, event, masked};
use crate::support::server::Server;
use crate::support::{DEADLINE, raise_file_limit, token};

/// Handshakes in flight at a time: more would overflow the listener's backlog.
const BATCH: usize = 250;
/// The most publishers on one channel.
const PUBLISHERS: usize = 4;

/// Subscribers of one channel.
pub struct Swarm {
    clients: Vec<Client>,
    epoll: OwnedFd,
    buffer: Vec<u8>,
    /// When any client last received something other than a ping.
    last_progress: Instant,
}

/// One subscriber.
pub struct Client {
    stream: TcpStream,
    /// Bytes of a frame whose end has not arrived yet.
    input: Vec<u8>,
    confirmation: Vec<u8>,
    phase: Phase,
    /// Messages received from each publisher; the next one has this number.
    pub received: [u64; PUBLISHERS],
    /// Code and reason of the close frame, once it has arrived.
    pub close_frame: Option<(u16, String)>,
    pub has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Authenticating,
    Subscribed,
}

impl Swarm {
    /// Connects `count` subscribers of one channel; returns when all are confirmed.
    pub fn connect(server: &Server, count: usize, channel: &str) -> Swarm {
        raise_file_limit();
        let mut swarm = Swarm {
            clients: Vec::with_capacity(count),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll"),
            buffer: vec![0; 256 * 1024],
            last_progress: Instant::now(),
        };
        let mut first_bytes = HANDSHAKE.as_bytes().to_vec();
        let token = token::subscriber(&[channel]);
        first_bytes.extend(masked(TEXT, event("authenticate", &token)));
        while swarm.clients.len() < count {
            for _ in 0..BATCH.min(count - swarm.clients.len()) {
                let stream = TcpStream::connect(server.address).expect("connect");
                swarm.add(stream, channel, &first_bytes);
            }
            swarm.read_until("they are subscribed", |client| {
                client.phase == Phase::Subscribed
            });
        }
        swarm
    }

    fn add(&mut self, mut stream: TcpStream, channel: &str, first_bytes: &[u8]) {
        stream.write_all(first_bytes).expect("send the handshake");
        stream.set_nonblocking(true).expect("set non-blocking");
        let number = EventData::new_u64(self.clients.len() as u64);
        epoll::add(&self.epoll, &stream, number, EventFlags::IN).expect("watch a socket");
        self.clients.push(Client {
            stream,
            input: Vec::new(),
            confirmation: confirmation(channel).into_bytes(),
            phase: Phase::Handshake,
            received: [0; PUBLISHERS],
            close_frame: None,
            has_ended: false,
        });
    }

    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Reads until `is_done` holds for every client, which it must keep doing. Fails when nothing
    /// but pings arrives for as long as any wait may take.
    #[track_caller]
    pub fn read_until(&mut self, what: &str, is_done: impl Fn(&Client) -> bool) {
        let mut first = 0;
        self.last_progress = Instant::now();
        loop {
            // The clients before `first` are done and stay so.
            match self.clients[first..]
                .iter()
                .position(|client| !is_done(client))
            {
                None => return,
                Some(more) => first += more,
            }
            let left = DEADLINE.saturating_sub(self.last_progress.elapsed());
            if left.is_zero() || !self.read_once(left) {
                let left = self.clients.iter().filter(|client| !is_done(client));
                panic!("never came true for {} clients: {what}", left.count());
            }
        }
    }

    /// Reads what arrives within `timeout`; false if nothing does.
    fn read_once(&mut self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).expect("a timespec");
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return true,
            Err(error) => panic!("epoll: {error}"),
        }
        for event in events {
            let number = event.data.u64() as usize;
            if self.clients[number].read(&mut self.buffer) == Arrived::Progress {
                self.last_progress = Instant::now();
            }
            if self.clients[number].has_ended {
                let _ = epoll::delete(&self.epoll, &self.clients[number].stream); // each is added once
            }
        }
        true
    }

    /// Resets all connections instead of closing them.
    pub fn reset(self) {
        for client in &self.clients {
            set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("set linger");
        }
    }
}

/// Whether a read moved a client on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// A frame other than a ping, the answer to the handshake, or the end.
    Progress,
    /// Pings only, a part of a frame, or nothing.
    Other,
}

impl Client {
    fn read(&mut self, buffer: &mut [u8]) -> Arrived {
        match self.stream.read(buffer) {
            Ok(0) => self.end(),
            Ok(length) => {
                self.input.extend_from_slice(&buffer[..length]);
                self.parse()
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Arrived::Other,
                _ => self.end(),
            },
        }
    }

    fn end(&mut self) -> Arrived {
        self.has_ended = true;
        Arrived::Progress
    }

    /// Takes the whole frames out of the input.
    fn parse(&mut self) -> Arrived {
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        let mut arrived = Arrived::Other;
        if self.phase == Phase::Handshake {
            let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.input = input;
                return arrived;
            };
            let head = String::from_utf8_lossy(&input[..end]);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            self.phase = Phase::Authenticating;
            used = end + 4;
            arrived = Arrived::Progress;
        }
        while let Some((first, payload)) = frame(&input[used..]) {
            let start = used + payload.start;
            used += payload.end;
            self.handle_frame(first, &input[start..used]);
            if first != PING {
                arrived = Arrived::Progress;
            }
        }
        input.drain(..used);
        self.input = input;
        arrived
    }

    fn handle_frame(&mut self, first: u8, payload: &[u8]) {
        assert!(self.close_frame.is_none(), "a frame after the close frame");
        match first {
            TEXT if self.phase == Phase::Authenticating => {
                assert_eq!(payload, self.confirmation);
                self.phase = Phase::Subscribed;
            }
            TEXT => self.handle_message(payload),
            PING => self.send(masked(PONG, payload)),
            CLOSE => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                self.close_frame = Some((code, reason));
                self.send(masked(CLOSE, payload));
            }
            other => panic!("a frame of kind {other:#04x}"),
        }
    }

    fn handle_message(&mut self, message: &[u8]) {
        let excerpt = || String::from_utf8_lossy(&message[..message.len().min(80)]);
        let Some((publisher, number)) = publisher::numbers(message) else {
            panic!("not a message of a publisher: {}", excerpt());
        };
        assert_eq!(number, self.received[publisher], "{}", excerpt());
        assert!(message.ends_with(br#""}"#), "cut off: {}", excerpt());
        self.received[publisher] += 1;
    }

    /// Sends a small frame; the send buffer is otherwise empty and always has room for it.
    fn send(&mut self, frame: Vec<u8>) {
        let _ = self.stream.write(&frame); // the server may have closed by now
    }
}

/// The first byte of the frame that `bytes` begin with, and the range of its payload; `None`
/// while the frame is incomplete.
fn frame(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a masked frame");
    let (start, length) = match second {
        126 => (
            4,
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then_some((first, start..start + length))
}
