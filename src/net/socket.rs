//! The socket of one accepted TCP connection.
//!
//! Sends and receives that never block, some that wait with a limit, and the two ways to end a
//! connection so that the peer gets what was written last.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::poll::{Wait, wait};

/// Most that one `recv` takes, in bytes: a usual request in one call.
pub const READ_SIZE: usize = 4 * 1024;
/// Most that is read and dropped until a rejected peer stops sending, in bytes.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// A connection's socket, shared by the thread that reads it and those that write it.
#[derive(Debug, Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// Takes over an accepted stream. It stays in blocking mode: each call that must not wait says
    /// so itself.
    pub fn new(stream: TcpStream) -> Socket {
        Socket(Arc::new(stream))
    }

    /// Hands bytes to the kernel without waiting; returns how many it took.
    ///
    /// # Errors
    /// `WouldBlock` when the send buffer is full; others mean that the peer is gone.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    /// Brings what the next call reads into the processor's cache.
    pub fn prefetch(&self) {
        black_box(self.0.as_raw_fd());
    }

    /// Receives into a buffer without waiting; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; others mean that the peer is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(&self.0, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok((_, received)) => return Ok(received),
            }
        }
    }

    /// Whether bytes have arrived that were not received yet.
    pub fn has_input(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        matches!(recv(&self.0, &mut [0; 1], flags), Ok((_, received)) if received > 0)
    }

    /// Appends received bytes to `input` without waiting, like [`Socket::receive`].
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub fn receive_into(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        self.append(input, RecvFlags::DONTWAIT)
    }

    /// Appends received bytes to `input`; waits for them as long as [`Socket::limit_receiving`]
    /// allows.
    ///
    /// # Errors
    /// `WouldBlock` when the time is up; others mean that the peer is gone.
    pub fn receive_waiting(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        self.append(input, RecvFlags::empty())
    }

    /// Sets how long [`Socket::receive_waiting`] waits.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn limit_receiving(&self, limit: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(limit))
    }

    fn append(&self, input: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
        input.reserve(READ_SIZE);
        loop {
            match recv(&self.0, spare_capacity(input), flags) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok((_, received)) => return Ok(received),
            }
        }
    }

    /// Sends all of `bytes`, and waits for the peer to take them until `deadline`.
    ///
    /// # Errors
    /// `TimedOut` when the peer has not taken all of them by then; others mean that it is gone.
    pub fn send_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut last_wait = Wait::Ready;
        while !bytes.is_empty() {
            match self.send(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if last_wait == Wait::TimedOut => return Err(ErrorKind::TimedOut.into()),
                Err(_) => {
                    // One more try follows after the time is up: `poll` reports a socket writable
                    // when a third of its buffer is free, and a slow reader may have freed less.
                    let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
                    last_wait = wait(&mut fds, Some(deadline))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the sending side; false when the peer is gone.
    pub fn end_sending(&self) -> bool {
        self.0.shutdown(Shutdown::Write).is_ok()
    }

    /// Drops what has arrived, about `most` bytes of it; false when the peer has ended its side.
    pub fn drop_input(&self, most: usize) -> bool {
        let mut scratch = [0; READ_SIZE];
        let mut dropped = 0;
        while dropped < most {
            match self.receive(&mut scratch) {
                Ok(0) => return false,
                Ok(received) => dropped += received,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Ends the sending side, then reads and drops input until the peer ends its side too, at most
    /// for `limit`.
    ///
    /// Closing with unread input makes the kernel send a reset, which can overtake the response
    /// that was just written (RFC 9112 §9.6).
    pub fn linger(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut dropped = 0;
        let mut scratch = vec![0; READ_SIZE];
        if !self.end_sending() {
            return;
        }
        while dropped < LINGER_BYTES {
            match self.receive(&mut scratch) {
                Ok(0) => return,
                Ok(received) => dropped += received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            if !matches!(wait(&mut fds, Some(deadline)), Ok(Wait::Ready)) {
                return;
            }
        }
    }

    /// Makes the end of the connection a reset, which tells a peer that goes on sending. Closed
    /// without it, a connection whose receive buffer was full leaves the peer waiting for a minute.
    pub fn reset_on_close(&self) {
        let _ = set_socket_linger(&self.0, Some(Duration::ZERO)); // peer already gone
    }

    /// Ends the connection in both directions at once, for every holder of this socket.
    pub fn cut(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // peer already gone
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
