//! The physical limit: a server that does nothing but what the kernel asks for.
//!
//! One thread, one epoll instance. No token is verified and no JSON parsed: names come in the
//! clear, and are found by searching for bytes. A frame is encoded once, and each subscriber
//! costs one non-blocking write. What a socket does not take at once waits in memory, without
//! bound. It trusts its client, and must never face another one.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, accept_with, listen, recv, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::connection::{Connection, Held};
use crate::Result;
use crate::client::frame;
use crate::client::poller::{Interest, Poller, Ready};
use crate::client::publisher::number_after;

/// The token of the listener; connections count from zero.
const LISTENER: u64 = u64::MAX;
/// As many as Bifrost lets wait.
const BACKLOG: i32 = 4096;
/// As often as Bifrost.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const READ_SIZE: usize = 256 * 1024;

/// No client of ours checks the key, so there is nothing to compute.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Reference {
    poller: Poller,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free_connections: Vec<usize>,
    channels: Vec<Channel>,
    free_channels: Vec<usize>,
    channel_by_name: HashMap<Box<[u8]>, usize>,
    buffer: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Default)]
struct Channel {
    name: Box<[u8]>,
    members: Vec<Member>,
}

/// A channel's subscriber, with its place in what the connection holds.
struct Member {
    connection: usize,
    held: usize,
}

/// What a connection's input came to.
enum Step {
    Incomplete,
    Done(usize),
    Over,
}

/// Serves until the process is killed, or the benchmark ends.
///
/// # Errors
/// When it can't listen, or the kernel refuses an epoll instance.
pub fn run() -> Result {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listen(&listener, BACKLOG)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    listener.set_nonblocking(true)?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, Interest::Read)?;
    eprintln!("listening addr={}", listener.local_addr()?);
    let mut reference = Reference {
        poller,
        listener,
        connections: Vec::new(),
        free_connections: Vec::new(),
        channels: Vec::new(),
        free_channels: Vec::new(),
        channel_by_name: HashMap::new(),
        buffer: vec![0; 2 * READ_SIZE],
        output: Vec::new(),
    };
    reference.serve()
}

impl Reference {
    fn serve(&mut self) -> Result {
        let mut next_ping = Instant::now() + PING_INTERVAL;
        loop {
            let ready = self.poller.wait(Some(next_ping))?;
            for index in 0..ready {
                self.react(self.poller.ready(index))?;
            }
            if Instant::now() >= next_ping {
                next_ping += PING_INTERVAL;
                self.ping();
            }
        }
    }

    fn react(&mut self, ready: Ready) -> Result {
        if ready.token == LISTENER {
            return self.accept();
        }
        let number = ready.token as usize;
        // It may have ended earlier in the same batch.
        let Some(connection) = self.connections[number].as_mut() else {
            return Ok(());
        };
        if ready.writable {
            connection.flush(&self.poller, ready.token)?;
        }
        if ready.readable && !self.read(number)? {
            self.close(number);
        }
        Ok(())
    }

    fn accept(&mut self) -> Result {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(format!("the reference can't accept: {error}").into()),
            };
            let number = self.free_connections.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poller.add(&socket, number as u64, Interest::Read)?;
            self.connections[number] = Some(Connection::new(socket));
        }
    }

    /// Reads once; false when the connection is over.
    fn read(&mut self, number: usize) -> Result<bool> {
        let Some(connection) = self.connections[number].as_mut() else {
            return Ok(true);
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let kept = connection.rest.len();
        buffer[..kept].copy_from_slice(&connection.rest);
        connection.rest.clear();
        let read = recv(&connection.socket, &mut buffer[kept..], RecvFlags::empty());
        let goes_on = match read {
            Ok((0, _)) => false,
            Ok((read, _)) => self.take_all(number, &mut buffer[..kept + read])?,
            Err(error) => error == Errno::AGAIN,
        };
        self.buffer = buffer;
        Ok(goes_on)
    }

    fn take_all(&mut self, number: usize, mut bytes: &mut [u8]) -> Result<bool> {
        loop {
            let is_upgraded = self.connection(number).is_upgraded;
            let step = match is_upgraded {
                true => self.take_frame(number, bytes)?,
                false => self.take_request(number, bytes)?,
            };
            match step {
                Step::Done(size) => bytes = &mut bytes[size..],
                Step::Over => return Ok(false),
                Step::Incomplete => {
                    self.connection(number).rest.extend_from_slice(bytes);
                    return Ok(true);
                }
            }
        }
    }

    fn take_request(&mut self, number: usize, bytes: &[u8]) -> Result<Step> {
        let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            return Ok(Step::Incomplete);
        };
        if bytes.starts_with(b"GET ") {
            self.connection(number).is_upgraded = true;
            self.write(number, UPGRADED)?;
            return Ok(Step::Done(head + 4));
        }
        let length = number_after(&bytes[..head], b"Content-Length:").unwrap_or(0) as usize;
        let end = head + 4 + length;
        let Some(body) = bytes.get(head + 4..end) else {
            return Ok(Step::Incomplete);
        };
        let deliveries = self.broadcast(body)?;
        self.answer(number, deliveries)?;
        Ok(Step::Done(end))
    }

    /// Writes the frame to every subscriber of the channel that the body begins with.
    fn broadcast(&mut self, body: &[u8]) -> Result<usize> {
        let line = body.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let name = body[..line]
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default();
        let size = number_after(&body[..line], b" ").unwrap_or(0) as usize;
        self.output.clear();
        frame::append_unmasked(
            &mut self.output,
            frame::TEXT,
            &body[line + 1..line + 1 + size],
        );
        let Some(channel) = self.channel_by_name.get(name) else {
            return Ok(0);
        };
        let members = &self.channels[*channel].members;
        for member in members {
            if let Some(connection) = self.connections[member.connection].as_mut() {
                connection.write(&self.poller, member.connection as u64, &self.output)?;
            }
        }
        Ok(members.len())
    }

    fn answer(&mut self, number: usize, deliveries: usize) -> Result {
        let body = format!("{{\"message\":\"Success\",\"deliveries\":{deliveries}}}");
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        write!(
            output,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.write(number, &output)?;
        self.output = output;
        Ok(())
    }

    fn take_frame(&mut self, number: usize, bytes: &mut [u8]) -> Result<Step> {
        let Some((opcode, payload, size)) = frame::unmask(bytes) else {
            return Ok(Step::Incomplete);
        };
        match opcode {
            frame::TEXT => self.subscribe(number, payload)?,
            frame::CLOSE => return Ok(Step::Over),
            _ => {} // pongs
        }
        Ok(Step::Done(size))
    }

    /// Joins the channels between the quotation marks behind `"data":`, all confirmed at once.
    fn subscribe(&mut self, number: usize, text: &[u8]) -> Result {
        let key = br#""data":""#;
        let start = text.windows(key.len()).position(|part| part == key);
        let data = &text[start.map_or(text.len(), |start| start + key.len())..];
        let data = data.split(|byte| *byte == b'"').next().unwrap_or_default();
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        for name in data.trim_ascii_end().split(|byte| *byte == b',') {
            self.join(number, name);
            let name = String::from_utf8_lossy(name);
            let text = format!(r#"{{"event":"subscribed","data":"{{\"channel\":\"{name}\"}}"}}"#);
            frame::append_unmasked(&mut output, frame::TEXT, text.as_bytes());
        }
        self.write(number, &output)?;
        self.output = output;
        Ok(())
    }

    fn join(&mut self, number: usize, name: &[u8]) {
        let channel = match self.channel_by_name.get(name) {
            Some(channel) => *channel,
            None => self.open_channel(name),
        };
        let place = self.channels[channel].members.len();
        let held = &mut self.connection(number).held;
        let member = Member {
            connection: number,
            held: held.len(),
        };
        held.push(Held { channel, place });
        self.channels[channel].members.push(member);
    }

    fn open_channel(&mut self, name: &[u8]) -> usize {
        let channel = self.free_channels.pop().unwrap_or_else(|| {
            self.channels.push(Channel::default());
            self.channels.len() - 1
        });
        self.channels[channel].name = name.into();
        self.channel_by_name.insert(name.into(), channel);
        channel
    }

    fn close(&mut self, number: usize) {
        let connection = self.connections[number].take();
        self.free_connections.push(number);
        for held in connection.into_iter().flat_map(|gone| gone.held) {
            self.leave(&held);
        }
    }

    /// Gives the place to the channel's last member, so that leaving costs the same always.
    fn leave(&mut self, held: &Held) {
        let channel = &mut self.channels[held.channel];
        channel.members.swap_remove(held.place);
        if let Some(moved) = channel.members.get(held.place) {
            if let Some(connection) = self.connections[moved.connection].as_mut() {
                connection.held[moved.held].place = held.place;
            }
        } else if channel.members.is_empty() {
            self.channel_by_name.remove(&channel.name);
            *channel = Channel::default();
            self.free_channels.push(held.channel);
        }
    }

    fn ping(&mut self) {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection.as_mut().filter(|one| one.is_upgraded) {
                // A failed write is seen as the end of the connection when it is read.
                let _ = connection.write(&self.poller, number as u64, &[0x80 | frame::PING, 0]);
            }
        }
    }

    fn write(&mut self, number: usize, bytes: &[u8]) -> Result {
        let connection = self.connections[number].as_mut();
        connection.map_or(Ok(()), |connection| {
            connection.write(&self.poller, number as u64, bytes)
        })
    }

    fn connection(&mut self, number: usize) -> &mut Connection {
        self.connections[number]
            .as_mut()
            .expect("a connection that is being read is open")
    }
}
