//! The subscribers: thousands of WebSocket connections that cost next to nothing each.
//!
//! All read into one buffer; a frame is looked at where it lies. Only what a read cut in
//! two is kept, with the subscriber that it belongs to.

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

/// What a subscriber says to be let in; most share it.
#[derive(Clone)]
pub struct Invitation {
    /// The HTTP request that asks for the upgrade.
    pub upgrade: Rc<[u8]>,
    /// The frame that asks for the channels; empty where the upgrade has named them.
    pub greeting: Rc<[u8]>,
    /// Confirmations that the greeting is answered with, one per channel.
    pub confirmations: usize,
}

/// All subscribers of one server, by the number in which they came.
#[derive(Default)]
pub struct Crowd {
    members: Vec<Member>,
    /// How long each took from the start of the connection until it was subscribed.
    waits: Vec<Duration>,
}

struct Member {
    socket: OwnedFd,
    phase: Phase,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
    invitation: Invitation,
    since: Instant,
}

#[derive(Clone, Copy)]
enum Phase {
    Connecting,
    Upgrading,
    Confirming(usize),
    Listening,
}

impl Crowd {
    /// How many there are, subscribed or not.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// How many times a subscriber's wait for its channels has ended.
    pub fn subscribed(&self) -> usize {
        self.waits.len()
    }

    /// Those waits since the last call.
    pub fn take_waits(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.waits)
    }

    /// Starts a connection; its number is the size of the crowd before.
    ///
    /// # Errors
    /// When descriptors or local ports have run out.
    pub fn admit(
        &mut self,
        poller: &Poller,
        address: SocketAddr,
        invitation: &Invitation,
    ) -> Result {
        let since = Instant::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(format!("can't connect to {address}: {error}").into()),
        }
        let mut member = Member {
            socket,
            phase: Phase::Connecting,
            rest: Vec::new(),
            invitation: invitation.clone(),
            since,
        };
        // On the loopback the handshake is over by now, unless the backlog is full.
        let interest = match member.ask()? {
            true => Interest::Arrivals,
            false => Interest::ReadAndWrite,
        };
        poller.add(&member.socket, self.members.len() as u64, interest)?;
        self.members.push(member);
        Ok(())
    }

    /// Has a subscriber ask for further channels; a wait begins.
    ///
    /// # Errors
    /// When the server does not read.
    pub fn greet_again(&mut self, number: usize, greeting: &[u8], confirmations: usize) -> Result {
        let member = &mut self.members[number];
        member.since = Instant::now();
        member.phase = Phase::Confirming(confirmations);
        write(&member.socket, greeting)
    }

    /// Takes what has come for a subscriber, and gives each message to `hear`.
    ///
    /// # Errors
    /// When the connection ended or the server said something that it should not have.
    #[inline]
    pub fn read(
        &mut self,
        poller: &Poller,
        ready: Ready,
        buffer: &mut [u8],
        hear: &mut impl FnMut(usize, &[u8]) -> Result,
    ) -> Result {
        let number = ready.token as usize;
        let member = &mut self.members[number];
        if let Phase::Connecting = member.phase {
            if member.ask()? {
                poller.change(&member.socket, ready.token, Interest::Arrivals)?;
            }
            return Ok(());
        }
        let hear = &mut |payload: &[u8]| hear(number, payload);
        if let Some(wait) = member
            .take(buffer, hear)
            .map_err(|error| format!("subscriber {number}: {error}"))?
        {
            self.waits.push(wait);
        }
        Ok(())
    }

    /// Cuts the connections from a number on, as a closed browser does.
    pub fn dismiss_from(&mut self, number: usize) {
        self.members.truncate(number);
    }
}

impl Member {
    /// Sends the upgrade request; false while the connection is not up.
    fn ask(&mut self) -> Result<bool> {
        match send(&self.socket, &self.invitation.upgrade, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.invitation.upgrade.len() => {
                self.phase = Phase::Upgrading;
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Ok(_) => Err("the server does not read".into()),
            Err(error) => Err(format!("can't connect: {error}").into()),
        }
    }

    /// Reads all there is; tells the wait when it has ended.
    #[inline]
    fn take(
        &mut self,
        buffer: &mut [u8],
        hear: &mut impl FnMut(&[u8]) -> Result,
    ) -> Result<Option<Duration>> {
        let mut wait = None;
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
            self.take_frames(&buffer[..end], hear, &mut wait)?;
            // What does not fill the buffer was all there is.
            if end < buffer.len() {
                return Ok(wait);
            }
        }
    }

    #[inline]
    fn take_frames(
        &mut self,
        mut bytes: &[u8],
        hear: &mut impl FnMut(&[u8]) -> Result,
        wait: &mut Option<Duration>,
    ) -> Result {
        if let Phase::Upgrading = self.phase {
            let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
                self.rest.extend_from_slice(bytes);
                return Ok(());
            };
            self.upgraded(&bytes[..head])?;
            *wait = self.end_of_wait();
            bytes = &bytes[head + 4..];
        }
        while let Some(frame) = frame::first(bytes)? {
            self.react(&frame, hear, wait)?;
            bytes = &bytes[frame.size..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn upgraded(&mut self, head: &[u8]) -> Result {
        if !head.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(head);
            return Err(
                format!("not upgraded: {}", head.lines().next().unwrap_or_default()).into(),
            );
        }
        if !self.invitation.greeting.is_empty() {
            write(&self.socket, &self.invitation.greeting)?;
        }
        self.phase = Phase::Confirming(self.invitation.confirmations);
        Ok(())
    }

    fn end_of_wait(&mut self) -> Option<Duration> {
        let Phase::Confirming(0) = self.phase else {
            return None;
        };
        self.phase = Phase::Listening;
        Some(self.since.elapsed())
    }

    #[inline]
    fn react(
        &mut self,
        frame: &Frame<'_>,
        hear: &mut impl FnMut(&[u8]) -> Result,
        wait: &mut Option<Duration>,
    ) -> Result {
        match (frame.opcode, self.phase) {
            (frame::TEXT, Phase::Listening) => hear(frame.payload),
            (frame::TEXT, Phase::Confirming(left)) if frame.payload.starts_with(CONFIRMATION) => {
                self.phase = Phase::Confirming(left - 1);
                *wait = self.end_of_wait();
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
