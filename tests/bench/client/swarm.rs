//! The subscribers: thousands of WebSocket connections at very little cost each.
//!
//! All read into one buffer, and frames are parsed in place. A subscriber keeps only the start of
//! a frame whose end has not arrived yet.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::frame::{self, Frame};
use super::poller::{Interest, Poller, Ready};
use crate::Result;

const CONFIRMATION: &[u8] = br#"{"event":"subscribed""#;

/// What a subscriber sends to connect and subscribe; most subscribers share it.
#[derive(Clone)]
pub struct Handshake {
    /// The HTTP request that asks for the upgrade.
    pub upgrade: Rc<[u8]>,
    /// The frame that authenticates and names the channels; empty where the URL names them.
    pub authenticate: Rc<[u8]>,
    /// Confirmations in answer to it, one per channel.
    pub confirmations: usize,
}

/// All subscribers of one server, numbered in the order in which they connected.
#[derive(Default)]
pub struct Swarm {
    clients: Vec<Client>,
    /// How long each took from the start of the connection, or of a further subscription, until all
    /// channels were confirmed.
    times: Vec<Duration>,
}

struct Client {
    socket: OwnedFd,
    phase: Phase,
    /// The start of a frame whose end has not arrived yet.
    rest: Vec<u8>,
    handshake: Handshake,
    started: Instant,
}

#[derive(Clone, Copy)]
enum Phase {
    Connecting,
    Upgrading,
    Confirming(usize),
    Subscribed,
}

impl Swarm {
    /// How many there are, subscribed or not.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// How many subscriptions were completed since [`Swarm::take_times`].
    pub fn subscribed(&self) -> usize {
        self.times.len()
    }

    /// How long those subscriptions took.
    pub fn take_times(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.times)
    }

    /// Starts a connection; its number is the count of those before it.
    ///
    /// # Errors
    /// When descriptors or local ports have run out.
    pub fn connect(
        &mut self,
        poller: &Poller,
        address: SocketAddr,
        handshake: &Handshake,
    ) -> Result {
        let started = Instant::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(format!("can't connect to {address}: {error}").into()),
        }
        let mut client = Client {
            socket,
            phase: Phase::Connecting,
            rest: Vec::new(),
            handshake: handshake.clone(),
            started,
        };
        // On the loopback the TCP handshake is complete by now, unless the backlog is full.
        let interest = if client.send_upgrade()? {
            Interest::Arrivals
        } else {
            Interest::ReadAndWrite
        };
        poller.add(&client.socket, self.clients.len() as u64, interest)?;
        self.clients.push(client);
        Ok(())
    }

    /// Subscribes an existing connection to further channels.
    ///
    /// # Errors
    /// When the server does not read.
    pub fn subscribe(
        &mut self,
        number: usize,
        authenticate: &[u8],
        confirmations: usize,
    ) -> Result {
        let client = &mut self.clients[number];
        client.started = Instant::now();
        client.phase = Phase::Confirming(confirmations);
        write(&client.socket, authenticate)
    }

    /// Reads what has arrived for a subscriber, and gives each message to `deliver`.
    ///
    /// # Errors
    /// When the connection ended or the server sent something unexpected.
    #[inline]
    pub fn read(
        &mut self,
        poller: &Poller,
        ready: Ready,
        buffer: &mut [u8],
        deliver: &mut impl FnMut(usize, &[u8]) -> Result,
    ) -> Result {
        let number = ready.token as usize;
        let client = &mut self.clients[number];
        if let Phase::Connecting = client.phase {
            if client.send_upgrade()? {
                poller.change(&client.socket, ready.token, Interest::Arrivals)?;
            }
            return Ok(());
        }
        let deliver = &mut |payload: &[u8]| deliver(number, payload);
        if let Some(time) = client
            .read(buffer, deliver)
            .map_err(|error| format!("subscriber {number}: {error}"))?
        {
            self.times.push(time);
        }
        Ok(())
    }

    /// Closes the connections from a number on, without a close frame.
    pub fn close_from(&mut self, number: usize) {
        self.clients.truncate(number);
    }
}

impl Client {
    /// Sends the upgrade request; false while TCP is not connected.
    fn send_upgrade(&mut self) -> Result<bool> {
        match send(&self.socket, &self.handshake.upgrade, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.handshake.upgrade.len() => {
                self.phase = Phase::Upgrading;
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Ok(_) => Err("the server does not read".into()),
            Err(error) => Err(format!("can't connect: {error}").into()),
        }
    }

    /// Reads all that is there; gives the time of a subscription that was completed.
    #[inline]
    fn read(
        &mut self,
        buffer: &mut [u8],
        deliver: &mut impl FnMut(&[u8]) -> Result,
    ) -> Result<Option<Duration>> {
        let mut time = None;
        loop {
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            self.rest.clear();
            let read = match recv(&self.socket, &mut buffer[kept..], RecvFlags::empty()) {
                Ok((0, _)) => return Err("the server closed the connection".into()),
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => 0,
                Err(error) => return Err(error.into()),
            };
            let end = kept + read;
            self.parse(&buffer[..end], deliver, &mut time)?;
            // A read that does not fill the buffer has read everything.
            if end < buffer.len() {
                return Ok(time);
            }
        }
    }

    #[inline]
    fn parse(
        &mut self,
        mut bytes: &[u8],
        deliver: &mut impl FnMut(&[u8]) -> Result,
        time: &mut Option<Duration>,
    ) -> Result {
        if let Phase::Upgrading = self.phase {
            let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
                self.rest.extend_from_slice(bytes);
                return Ok(());
            };
            self.check_upgrade(&bytes[..head])?;
            *time = self.complete_subscription();
            bytes = &bytes[head + 4..];
        }
        while let Some(frame) = frame::first(bytes)? {
            self.handle_frame(&frame, deliver, time)?;
            bytes = &bytes[frame.size..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn check_upgrade(&mut self, head: &[u8]) -> Result {
        if !head.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(head);
            return Err(
                format!("not upgraded: {}", head.lines().next().unwrap_or_default()).into(),
            );
        }
        if !self.handshake.authenticate.is_empty() {
            write(&self.socket, &self.handshake.authenticate)?;
        }
        self.phase = Phase::Confirming(self.handshake.confirmations);
        Ok(())
    }

    fn complete_subscription(&mut self) -> Option<Duration> {
        let Phase::Confirming(0) = self.phase else {
            return None;
        };
        self.phase = Phase::Subscribed;
        Some(self.started.elapsed())
    }

    #[inline]
    fn handle_frame(
        &mut self,
        frame: &Frame<'_>,
        deliver: &mut impl FnMut(&[u8]) -> Result,
        time: &mut Option<Duration>,
    ) -> Result {
        match (frame.opcode, self.phase) {
            (frame::TEXT, Phase::Subscribed) => deliver(frame.payload),
            (frame::TEXT, Phase::Confirming(left)) if frame.payload.starts_with(CONFIRMATION) => {
                self.phase = Phase::Confirming(left - 1);
                *time = self.complete_subscription();
                Ok(())
            }
            (frame::PING, _) => write(&self.socket, &frame::masked(frame::PONG, frame.payload)),
            (frame::CLOSE, _) => {
                let code = frame
                    .payload
                    .first_chunk()
                    .map(|code| u16::from_be_bytes(*code));
                Err(format!("closed by the server with code {code:?}").into())
            }
            _ => Err(format!("unexpected: {}", String::from_utf8_lossy(frame.payload)).into()),
        }
    }
}

fn write(socket: &OwnedFd, bytes: &[u8]) -> Result {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) | Err(Errno::AGAIN) => Err("the server does not read".into()),
        Err(error) => Err(error.into()),
    }
}
