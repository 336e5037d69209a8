//! One connection of the reference server: what it has sent half of, and what it holds.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::Result;
use crate::client::poller::{Interest, Poller};

/// A connection, a subscriber's or a publisher's.
pub struct Connection {
    /// Non-blocking.
    pub socket: OwnedFd,
    /// Whether it speaks WebSocket by now.
    pub is_upgraded: bool,
    /// The beginning of a request or frame whose end has not come yet.
    pub rest: Vec<u8>,
    /// What the socket has not taken yet.
    waiting: Vec<u8>,
    /// Its channels.
    pub held: Vec<Held>,
}

/// A connection's place in a channel.
pub struct Held {
    /// The channel's number.
    pub channel: usize,
    /// Its place among the channel's members.
    pub place: usize,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket,
            is_upgraded: false,
            rest: Vec::new(),
            waiting: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Sends, or keeps what the socket does not take.
    ///
    /// # Errors
    /// When the socket can't be watched.
    pub fn write(&mut self, poller: &Poller, token: u64, bytes: &[u8]) -> Result {
        let sent = match self.waiting.is_empty() {
            true => send(
                &self.socket,
                bytes,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ),
            false => Err(Errno::AGAIN),
        };
        let sent = match sent {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(_) => return Ok(()), // reading will find that the peer is gone
        };
        if self.waiting.is_empty() {
            poller.change(&self.socket, token, Interest::ReadAndWrite)?;
        }
        self.waiting.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what was kept, now that there is room.
    ///
    /// # Errors
    /// When the socket can't be watched.
    pub fn flush(&mut self, poller: &Poller, token: u64) -> Result {
        if let Ok(sent) = send(&self.socket, &self.waiting, SendFlags::NOSIGNAL) {
            self.waiting.drain(..sent);
        }
        match self.waiting.is_empty() {
            true => poller.change(&self.socket, token, Interest::Read),
            false => Ok(()),
        }
    }
}
