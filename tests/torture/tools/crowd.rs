//! Thousands of subscribers in one thread: non-blocking sockets behind one epoll.
//!
//! Each of them checks every message that it gets: whole, in the publisher's order, none
//! missing and none twice.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_linger;

use super::publisher;
use crate::support::raw::{CLOSE, HANDSHAKE, PING, PONG, TEXT, confirmation, event, masked};
use crate::support::server::Server;
use crate::support::{DEADLINE, raise_file_limit, token};

/// So many shake hands at a time: a crowd has to be let in, not to be a flood.
const LOT: usize = 250;
/// Publishers that a crowd can tell apart.
const PUBLISHERS: usize = 4;

/// Subscribers of one channel.
pub struct Crowd {
    members: Vec<Member>,
    poller: OwnedFd,
    scratch: Vec<u8>,
}

/// One of them.
pub struct Member {
    stream: TcpStream,
    /// Read, but not yet whole.
    input: Vec<u8>,
    confirmation: Vec<u8>,
    stage: Stage,
    /// Messages of each publisher; the next one has this number.
    pub heard: [u64; PUBLISHERS],
    /// The code and the reason of the close frame, once it has come.
    pub farewell: Option<(u16, String)>,
    pub has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    ShakingHands,
    Authenticating,
    Subscribed,
}

impl Crowd {
    /// So many subscribers, all confirmed.
    pub fn gather(server: &Server, count: usize, channel: &str) -> Crowd {
        raise_file_limit();
        let mut crowd = Crowd {
            members: Vec::with_capacity(count),
            poller: epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll"),
            scratch: vec![0; 256 * 1024],
        };
        let mut opening = HANDSHAKE.as_bytes().to_vec();
        let token = token::subscriber(&[channel]);
        opening.extend(masked(TEXT, event("authenticate", &token)));
        while crowd.members.len() < count {
            for _ in 0..LOT.min(count - crowd.members.len()) {
                let stream = TcpStream::connect(server.address).expect("connect");
                crowd.take_in(stream, channel, &opening);
            }
            crowd.read_until("they are subscribed", |member| {
                member.stage == Stage::Subscribed
            });
        }
        crowd
    }

    fn take_in(&mut self, mut stream: TcpStream, channel: &str, opening: &[u8]) {
        stream.write_all(opening).expect("send the opening");
        stream.set_nonblocking(true).expect("set non-blocking");
        let number = EventData::new_u64(self.members.len() as u64);
        epoll::add(&self.poller, &stream, number, EventFlags::IN).expect("watch a socket");
        self.members.push(Member {
            stream,
            input: Vec::new(),
            confirmation: confirmation(channel).into_bytes(),
            stage: Stage::ShakingHands,
            heard: [0; PUBLISHERS],
            farewell: None,
            has_ended: false,
        });
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Reads until all of them are as they should be. Fails when nothing comes any more.
    #[track_caller]
    pub fn read_until(&mut self, what: &str, is_so: impl Fn(&Member) -> bool) {
        let mut first = 0;
        loop {
            // Who is as they should be stays so: only the rest is looked at again.
            match self.members[first..]
                .iter()
                .position(|member| !is_so(member))
            {
                None => return,
                Some(more) => first += more,
            }
            if !self.read_once(DEADLINE) {
                let left = self.members.iter().filter(|member| !is_so(member));
                panic!("{} of them never: {what}", left.count());
            }
        }
    }

    /// Reads whatever comes soon; false if that is nothing.
    pub fn read_once(&mut self, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).expect("a timespec");
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        match epoll::wait(
            &self.poller,
            rustix::buffer::spare_capacity(&mut events),
            Some(&patience),
        ) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return true,
            Err(error) => panic!("epoll: {error}"),
        }
        for event in events {
            let number = event.data.u64() as usize;
            self.members[number].read(&mut self.scratch);
            if self.members[number].has_ended {
                let _ = epoll::delete(&self.poller, &self.members[number].stream); // watched once
            }
        }
        true
    }

    /// All of them end with a reset instead of a close, as fast as the kernel can.
    pub fn reset(self) {
        for member in &self.members {
            set_socket_linger(&member.stream, Some(Duration::ZERO)).expect("set linger");
        }
    }
}

impl Member {
    fn read(&mut self, scratch: &mut [u8]) {
        match self.stream.read(scratch) {
            Ok(0) => self.has_ended = true,
            Ok(length) => {
                self.input.extend_from_slice(&scratch[..length]);
                self.take_apart();
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                _ => self.has_ended = true,
            },
        }
    }

    fn take_apart(&mut self) {
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        if self.stage == Stage::ShakingHands {
            let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.input = input;
                return;
            };
            let head = String::from_utf8_lossy(&input[..end]);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            self.stage = Stage::Authenticating;
            used = end + 4;
        }
        while let Some((first, payload)) = frame(&input[used..]) {
            let start = used + payload.start;
            used += payload.end;
            self.take(first, &input[start..used]);
        }
        input.drain(..used);
        self.input = input;
    }

    fn take(&mut self, first: u8, payload: &[u8]) {
        assert!(self.farewell.is_none(), "a frame after the close frame");
        match first {
            TEXT if self.stage == Stage::Authenticating => {
                assert_eq!(payload, self.confirmation);
                self.stage = Stage::Subscribed;
            }
            TEXT => self.hear(payload),
            PING => self.answer(masked(PONG, payload)),
            CLOSE => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                self.farewell = Some((code, reason));
                self.answer(masked(CLOSE, payload));
            }
            other => panic!("a frame of kind {other:#04x}"),
        }
    }

    fn hear(&mut self, message: &[u8]) {
        let told = || String::from_utf8_lossy(&message[..message.len().min(80)]);
        let Some((publisher, number)) = publisher::numbers(message) else {
            panic!("no message of ours: {}", told());
        };
        assert_eq!(number, self.heard[publisher], "{}", told());
        assert!(message.ends_with(br#""}"#), "cut off: {}", told());
        self.heard[publisher] += 1;
    }

    /// A few bytes, for which there is always room in a socket that sends nothing else.
    fn answer(&mut self, frame: Vec<u8>) {
        let _ = self.stream.write(&frame); // the server may be gone by now
    }
}

/// The first byte of a whole frame at the front of `bytes`, and where its payload is.
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
