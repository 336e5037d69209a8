//! One accepted TCP connection, and the waiting around it.
//!
//! The leaf that talks to the kernel: sends and receives that never block, one
//! `poll` that does, and the two ways to end a connection so that the peer gets
//! what was written last. It knows no HTTP and no WebSocket.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// How much one `recv` may bring, in bytes: a usual request in one call.
const READ_SIZE: usize = 4 * 1024;
/// Read and dropped while a refused peer stops sending, in bytes at most.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// At least one of the descriptors has something to say.
    Ready,
    /// The deadline passed.
    TimedOut,
}

/// A connection's socket, shared by the thread that reads it and its outbox.
#[derive(Debug, Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// Takes over an accepted stream, which stays in blocking mode: every call here
    /// says for itself that it will not wait.
    pub fn new(stream: TcpStream) -> Socket {
        Socket(Arc::new(stream))
    }

    /// Hands bytes to the kernel without waiting.
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
    pub fn fetch(&self) {
        black_box(self.0.as_raw_fd());
    }

    /// Fills a buffer with what has arrived, without waiting; 0 is the end of the stream.
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

    /// Whether something has arrived that was not received yet.
    pub fn has_input(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        matches!(recv(&self.0, &mut [0; 1], flags), Ok((_, received)) if received > 0)
    }

    /// Appends what has arrived to `input`, like [`Socket::receive`].
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub fn receive_into(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        self.append(input, RecvFlags::DONTWAIT)
    }

    /// Appends what arrives next to `input`, and waits for it as long as
    /// [`Socket::limit_receiving`] says.
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

    /// Sends all of `bytes`, waiting as long as the peer takes some within every `stall`.
    ///
    /// # Errors
    /// `TimedOut` when the peer took nothing for so long; others mean that it is gone.
    pub fn send_all(&self, mut bytes: &[u8], stall: Duration) -> io::Result<()> {
        let mut last_chance = Wait::Ready;
        while !bytes.is_empty() {
            match self.send(bytes) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    last_chance = Wait::Ready;
                }
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if last_chance == Wait::TimedOut => return Err(ErrorKind::TimedOut.into()),
                Err(_) => {
                    // It is asked once more after the time is up: `poll` waits until a third
                    // of the buffer is free, and a slow reader may have made room for less.
                    let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
                    last_chance = wait(&mut fds, Some(Instant::now() + stall))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the sending side, then drops what still comes until the peer is done too.
    ///
    /// Closing with unread input would make the kernel send a reset, and a reset can
    /// overtake the answer that was just written (RFC 9112 §9.6).
    pub fn linger(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut dropped = 0;
        let mut scratch = vec![0; READ_SIZE];
        if self.0.shutdown(Shutdown::Write).is_err() {
            return; // the peer is gone already
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

    /// Ends the connection in both directions at once, whoever else holds this socket.
    pub fn cut(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // peer already gone
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes a thread that waits in [`wait`]: an eventfd, which stays rung until it is answered.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Waker> {
        Ok(Waker(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Wakes the thread that waits, or the next one that will.
    pub fn ring(&self) {
        // A full counter says no: then it is rung already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub fn answer(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]); // nobody had rung
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until a descriptor is ready or the deadline has passed; may also wake for nothing.
///
/// # Errors
/// Only when the kernel lacks memory, or the caller gave a closed descriptor.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<Wait> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // A duration that a timespec can't hold is as good as for ever.
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(0) => Ok(Wait::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(Wait::Ready),
        Err(error) => Err(error.into()),
    }
}
