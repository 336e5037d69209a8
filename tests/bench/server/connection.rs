//! One connection of the reference server: its buffers and its channels.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::Result;
use crate::client::poller::{Interest, Poller};

/// A connection, a subscriber's or a publisher's.
pub struct Connection {
    /// Non-blocking.
    pub socket: OwnedFd,
    /// Whether it was upgraded to WebSocket.
    pub is_upgraded: bool,
    /// The start of a request or frame whose end has not arrived yet.
    pub rest: Vec<u8>,
    /// Bytes that the socket has not taken yet.
    unsent: Vec<u8>,
    /// Its channels.
    pub memberships: Vec<Membership>,
}

/// A connection's membership in a channel.
pub struct Membership {
    /// The channel's number.
    pub channel: usize,
    /// Its index among the channel's members.
    pub index: usize,
}

impl Connection {
    /// A new connection.
    pub fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket,
            is_upgraded: false,
            rest: Vec::new(),
            unsent: Vec::new(),
            memberships: Vec::new(),
        }
    }

    /// Sends, and keeps what the socket does not take.
    ///
    /// # Errors
    /// When the socket can't be watched.
    pub fn write(&mut self, poller: &Poller, token: u64, bytes: &[u8]) -> Result {
        let sent = if self.unsent.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            send(&self.socket, bytes, flags)
        } else {
            Err(Errno::AGAIN)
        };
        let sent = match sent {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(_) => return Ok(()), // the next read reports that the peer has closed
        };
        if self.unsent.is_empty() {
            poller.change(&self.socket, token, Interest::ReadAndWrite)?;
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what was kept, once the socket is writable.
    ///
    /// # Errors
    /// When the socket can't be watched.
    pub fn flush(&mut self, poller: &Poller, token: u64) -> Result {
        if let Ok(sent) = send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
            self.unsent.drain(..sent);
        }
        if self.unsent.is_empty() {
            poller.change(&self.socket, token, Interest::Read)?;
        }
        Ok(())
    }
}
