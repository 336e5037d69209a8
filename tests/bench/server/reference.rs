//! The reference server, which stands for the physical limit: it only makes the system calls that
//! a broadcast needs.
//!
//! One thread, one epoll instance. No token is verified and no JSON parsed: names are in clear
//! text, and are found by searching for bytes. A frame is encoded once, and written to each
//! subscriber with one non-blocking call. What a socket does not take at once is kept in memory,
//! without a limit. It trusts its client, and must serve no other one.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, accept_with, listen, recv, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::connection::{Connection, Membership};
use crate::Result;
use crate::client::frame;
use crate::client::poller::{Interest, Poller, Ready};
use crate::client::publisher::number_after;

/// The poller token of the listener; those of connections start at zero.
const LISTENER: u64 = u64::MAX;
/// The same as Bifrost's.
const BACKLOG: i32 = 4096;
/// The same as Bifrost's default.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const READ_SIZE: usize = 256 * 1024;

/// A fixed response: the benchmark's client does not check the accept key.
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

/// A channel's subscriber.
struct Member {
    connection: usize,
    /// The index among the connection's memberships.
    membership: usize,
}

/// What the start of a connection's input was.
enum Parsed {
    Incomplete,
    Done(usize),
    Close,
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
                self.handle_event(self.poller.ready(index))?;
            }
            if Instant::now() >= next_ping {
                next_ping += PING_INTERVAL;
                self.ping();
            }
        }
    }

    fn handle_event(&mut self, ready: Ready) -> Result {
        if ready.token == LISTENER {
            return self.accept();
        }
        let number = ready.token as usize;
        // It may have been closed earlier in the same batch of events.
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

    /// Reads once; false when the connection has to be closed.
    fn read(&mut self, number: usize) -> Result<bool> {
        let Some(connection) = self.connections[number].as_mut() else {
            return Ok(true);
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let kept = connection.rest.len();
        buffer[..kept].copy_from_slice(&connection.rest);
        connection.rest.clear();
        let read = recv(&connection.socket, &mut buffer[kept..], RecvFlags::empty());
        let is_open = match read {
            Ok((0, _)) => false,
            Ok((read, _)) => self.parse(number, &mut buffer[..kept + read])?,
            Err(error) => error == Errno::AGAIN,
        };
        self.buffer = buffer;
        Ok(is_open)
    }

    fn parse(&mut self, number: usize, mut bytes: &mut [u8]) -> Result<bool> {
        loop {
            let is_upgraded = self.connection(number).is_upgraded;
            let parsed = if is_upgraded {
                self.handle_frame(number, bytes)?
            } else {
                self.handle_request(number, bytes)?
            };
            match parsed {
                Parsed::Done(size) => bytes = &mut bytes[size..],
                Parsed::Close => return Ok(false),
                Parsed::Incomplete => {
                    self.connection(number).rest.extend_from_slice(bytes);
                    return Ok(true);
                }
            }
        }
    }

    fn handle_request(&mut self, number: usize, bytes: &[u8]) -> Result<Parsed> {
        let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            return Ok(Parsed::Incomplete);
        };
        if bytes.starts_with(b"GET ") {
            self.connection(number).is_upgraded = true;
            self.write(number, UPGRADED)?;
            return Ok(Parsed::Done(head + 4));
        }
        let length = number_after(&bytes[..head], b"Content-Length:").unwrap_or(0) as usize;
        let end = head + 4 + length;
        let Some(body) = bytes.get(head + 4..end) else {
            return Ok(Parsed::Incomplete);
        };
        let deliveries = self.broadcast(body)?;
        self.respond(number, deliveries)?;
        Ok(Parsed::Done(end))
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

    fn respond(&mut self, number: usize, deliveries: usize) -> Result {
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

    fn handle_frame(&mut self, number: usize, bytes: &mut [u8]) -> Result<Parsed> {
        let Some((opcode, payload, size)) = frame::unmask(bytes) else {
            return Ok(Parsed::Incomplete);
        };
        match opcode {
            frame::TEXT => self.subscribe(number, payload)?,
            frame::CLOSE => return Ok(Parsed::Close),
            _ => {} // pongs
        }
        Ok(Parsed::Done(size))
    }

    /// Joins the channels in the string after `"data":`, and confirms them in one write.
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
        let index = self.channels[channel].members.len();
        let memberships = &mut self.connection(number).memberships;
        let member = Member {
            connection: number,
            membership: memberships.len(),
        };
        memberships.push(Membership { channel, index });
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
        for membership in connection.into_iter().flat_map(|closed| closed.memberships) {
            self.leave(&membership);
        }
    }

    /// Removes a member in constant time: the channel's last member moves to its index.
    fn leave(&mut self, membership: &Membership) {
        let channel = &mut self.channels[membership.channel];
        channel.members.swap_remove(membership.index);
        if let Some(moved) = channel.members.get(membership.index) {
            if let Some(connection) = self.connections[moved.connection].as_mut() {
                connection.memberships[moved.membership].index = membership.index;
            }
        } else if channel.members.is_empty() {
            self.channel_by_name.remove(&channel.name);
            *channel = Channel::default();
            self.free_channels.push(membership.channel);
        }
    }

    fn ping(&mut self) {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection.as_mut().filter(|one| one.is_upgraded) {
                // After a failed write the next read reports the end of the connection.
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
