//! The session of one WebSocket connection: its thread waits, reads, and ends the connection.
//!
//! tungstenite parses the frames; what it writes goes through the send queue. The thread sleeps in
//! one `poll` over the socket and the queue's waker, and otherwise wakes for its own deadlines
//! only; a shutdown wakes it through the waker.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message, Utf8Bytes, error::ProtocolError};

use super::disconnect::Disconnect;
use super::frame;
use crate::hub::queue::{QueueState, SendQueue};
use crate::net::poll::wait;
use crate::net::shutdown::Shutdown;
use crate::net::socket::Socket;
use crate::protocol::close_frame::CloseFrame;
use crate::protocol::limits::MAX_CLIENT_MESSAGE;

/// What tungstenite reads at once, in bytes. It keeps a buffer of this size per connection.
const READ_BUFFER: usize = 512;
/// A peer that is silent for so many ping intervals is dead.
const SILENT_INTERVALS: u32 = 2;

/// The time limits of a session.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// How often the client is pinged, and so has to send something.
    pub ping_interval: Duration,
    /// Longest time in which the client takes nothing, or does not answer a close frame.
    pub write: Duration,
}

/// A WebSocket connection after its handshake.
pub struct Session {
    socket: Socket,
    queue: SendQueue,
    websocket: WebSocketContext,
    shutdown: Shutdown,
    limits: TimeLimits,
    reading: Reading,
}

/// The state of the receiving side.
struct Reading {
    last_received: Instant,
    /// The code of the client's close frame, once it has arrived.
    close_code: Option<u16>,
    /// The last `recv` returned less than there was room for, so another would find nothing until
    /// `poll` says so.
    is_drained: bool,
}

impl Session {
    /// The session of a connection; `early` are the bytes that arrived after the handshake.
    pub fn new(
        socket: Socket,
        queue: SendQueue,
        early: Vec<u8>,
        limits: TimeLimits,
        shutdown: Shutdown,
    ) -> Session {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0) // one write per frame: the queue needs whole frames
            .max_message_size(Some(MAX_CLIENT_MESSAGE))
            .max_frame_size(Some(MAX_CLIENT_MESSAGE));
        Session {
            socket,
            queue,
            websocket: WebSocketContext::from_partially_read(early, Role::Server, Some(config)),
            shutdown,
            limits,
            reading: Reading {
                last_received: Instant::now(),
                close_code: None,
                is_drained: false,
            },
        }
    }

    /// Waits for the next text message; after `deadline`, the client has not authenticated in time.
    ///
    /// # Errors
    /// Why the connection ends; [`Session::finish`] has to follow.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Utf8Bytes, Disconnect> {
        loop {
            // Before each message, so that a client that never pauses can't put it off.
            self.check_disconnect(deadline)?;
            match self.read() {
                Ok(Message::Text(text)) => return Ok(text),
                Ok(Message::Binary(_)) => {
                    return Err(Disconnect::Rejected(CloseFrame::BinaryMessage));
                }
                Ok(Message::Close(frame)) => {
                    self.reading.close_code = frame.map(|frame| frame.code.into());
                }
                // A ping or pong frame: tungstenite has answered it. The event `ping` is a text.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.sleep(deadline)?;
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Err(Disconnect::ClientClosed(self.reading.close_code));
                }
                Err(error) => return Err(disconnect(&error)),
            }
        }
    }

    /// Sends a close frame where that is still possible, and ends the connection.
    pub fn finish(mut self, reason: Disconnect) {
        match reason {
            Disconnect::Gone | Disconnect::Silent | Disconnect::Stalled => {}
            Disconnect::ClientClosed(_) => {
                self.flush(Instant::now() + self.limits.write); // the answer is in the queue
            }
            _ => self.send_close(reason),
        }
        self.socket.cut();
    }

    fn read(&mut self) -> Result<Message, Error> {
        let mut wire = Wire {
            socket: &self.socket,
            queue: &self.queue,
            reading: &mut self.reading,
        };
        self.websocket.read(&mut wire)
    }

    /// Looks for a reason to end the connection.
    fn check_disconnect(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        match self.queue.state() {
            QueueState::Overflowed => return Err(Disconnect::TooSlow),
            QueueState::Broken => return Err(Disconnect::Gone),
            QueueState::Open => {}
        }
        if self.shutdown.is_triggered() {
            return Err(Disconnect::Stopping);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Disconnect::AuthTimedOut);
        }
        if self.silence_limit() <= now {
            return Err(Disconnect::Silent);
        }
        Ok(())
    }

    fn silence_limit(&self) -> Instant {
        self.reading.last_received + SILENT_INTERVALS * self.limits.ping_interval
    }

    /// Sleeps until the socket can be read, a deadline passes or the thread is woken; writes a backlog.
    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        let stalled_until = self.stall_limit()?;
        let due = [deadline, stalled_until]
            .into_iter()
            .flatten()
            .fold(self.silence_limit(), Instant::min);
        let interest = match stalled_until {
            Some(_) => PollFlags::IN | PollFlags::OUT,
            None => PollFlags::IN,
        };
        let mut fds = [
            PollFd::new(&self.socket, interest),
            PollFd::new(self.queue.waker(), PollFlags::IN),
        ];
        wait(&mut fds, Some(due)).map_err(|_| Disconnect::Gone)?;
        let events = fds[0].revents();
        let can_write = events.contains(PollFlags::OUT);
        let is_woken = !fds[1].revents().is_empty();
        self.reading.is_drained = (events - PollFlags::OUT).is_empty();
        if is_woken {
            self.queue.clear_waker();
        }
        if can_write {
            self.queue.resume();
        }
        Ok(())
    }

    /// Until when the socket has to take something, if bytes wait.
    fn stall_limit(&self) -> Result<Option<Instant>, Disconnect> {
        let limit = || {
            self.queue
                .stalled_since()
                .map(|since| since + self.limits.write)
        };
        if limit().is_some_and(|limit| limit <= Instant::now()) {
            // `poll` reports a socket writable only when a third of its buffer is free. A slow
            // reader may have freed less, so one more write is tried before giving up.
            self.queue.resume();
        }
        match limit() {
            Some(limit) if limit <= Instant::now() => Err(Disconnect::Stalled),
            limit => Ok(limit),
        }
    }

    fn send_close(&mut self, reason: Disconnect) {
        let Some(close) = reason.close_frame() else {
            return;
        };
        let limit = match (reason, self.queue.state()) {
            (Disconnect::Stopping, QueueState::Open) => self.shutdown.limit(),
            _ => self.limits.write,
        };
        let deadline = Instant::now() + limit;
        self.queue.close(frame::close(close)); // an overflow replaces the frame
        if !self.flush(deadline) {
            return;
        }
        match reason {
            Disconnect::Broken(_) => self.socket.linger(self.limits.write),
            // One limit for all of it: a client that takes the last byte at the last moment gets
            // no second one.
            Disconnect::TooSlow => self.await_close(deadline),
            _ => self.await_close(Instant::now() + self.limits.write),
        }
    }

    /// Writes all that waits; false when the peer does not take it in time.
    fn flush(&self, deadline: Instant) -> bool {
        while !self.queue.is_empty() {
            let Ok(stalled_until) = self.stall_limit() else {
                return false;
            };
            let due = stalled_until.map_or(deadline, |limit| limit.min(deadline));
            let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
            if Instant::now() >= deadline || wait(&mut fds, Some(due)).is_err() {
                return false;
            }
            if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
                return false;
            }
            self.queue.resume();
        }
        self.queue.state() != QueueState::Broken
    }

    /// Reads and drops frames until the client's close frame (RFC 6455 §7.1.1).
    fn await_close(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            match self.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                    if wait(&mut fds, Some(deadline)).is_err() {
                        return;
                    }
                    self.reading.is_drained = false;
                }
                Err(_) => return,
            }
        }
    }
}

/// The reason for the end that an error of tungstenite means.
fn disconnect(error: &Error) -> Disconnect {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Disconnect::Gone,
        Error::Capacity(_) => Disconnect::Broken(CloseFrame::LongMessage),
        Error::Utf8(_) => Disconnect::Broken(CloseFrame::InvalidUtf8),
        Error::Protocol(_) => Disconnect::Broken(CloseFrame::ProtocolError),
        _ => Disconnect::Gone,
    }
}

/// The connection as tungstenite sees it: it reads the socket and writes the send queue.
struct Wire<'a> {
    socket: &'a Socket,
    queue: &'a SendQueue,
    reading: &'a mut Reading,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reading.is_drained {
            return Err(ErrorKind::WouldBlock.into());
        }
        let received = self.socket.receive(buffer)?;
        self.reading.last_received = Instant::now();
        self.reading.is_drained = (1..buffer.len()).contains(&received);
        Ok(received)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let bytes = Bytes::copy_from_slice(frame);
        if frame::is_close(frame) {
            self.queue.close(bytes);
        } else {
            let _ = self.queue.push(&bytes); // rejected: the connection ends, and needs no pong
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
