//! One WebSocket connection: what its thread waits for, and how it ends.
//!
//! tungstenite reads the frames; everything it wants to write goes through the outbox.
//! The thread sleeps in one `poll` over the socket and the outbox's bell, and wakes for
//! nothing else but its own deadlines; whoever raises the stop rings the bell too. What
//! messages mean is not known here.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message, Utf8Bytes, error::ProtocolError};

use crate::hub::queue::{Backlog, QueueState, SendQueue};
use crate::net::shutdown::Shutdown;
use crate::net::socket::{Socket, wait};
use crate::telemetry::counters::{AuthFailure, CloseCode};
use crate::websocket::frame;

/// Largest message of a client, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// What tungstenite reads at once, in bytes. It holds this much per connection.
const READ_BUFFER: usize = 512;
/// So many silent ping intervals mean a dead peer.
const SILENT_INTERVALS: u32 = 2;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// The client sent a close frame, with this code if it had one.
    ClientClosed(Option<u16>),
    /// The connection broke, or ended without a close frame.
    Gone,
    /// Nothing has come for two ping intervals.
    Silent,
    /// It took nothing for the write time limit.
    Stalled,
    /// More waited for it than may.
    TooSlow,
    /// No good token came in time.
    AuthTimedOut,
    /// A token was shown that is not taken. Why, the log alone is told.
    NotAuthorized(AuthFailure),
    /// The server stops.
    Stopping,
    /// It broke the protocol; no further frame can be made out.
    Broken(CloseFrame),
    /// It asked for something that it may not have.
    Rejected(CloseFrame),
}

/// A close code with a reason (RFC 6455 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code.
    pub code: u16,
    /// What is wrong, in at most 123 bytes.
    pub reason: &'static str,
}

impl Disconnect {
    /// One word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Disconnect::ClientClosed(_) => "client_closed",
            Disconnect::Gone => "gone",
            Disconnect::Silent => "silent",
            Disconnect::Stalled => "stalled",
            Disconnect::TooSlow => "too_slow",
            Disconnect::AuthTimedOut => "auth_timed_out",
            Disconnect::Stopping => "stopping",
            Disconnect::Broken(_) => "broken",
            Disconnect::NotAuthorized(_) | Disconnect::Rejected(_) => "rejected",
        }
    }

    /// What the client is told, if it can still be told anything.
    pub fn close_frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Disconnect::ClientClosed(_)
            | Disconnect::Gone
            | Disconnect::Silent
            | Disconnect::Stalled => {
                return None;
            }
            Disconnect::TooSlow => (1013, "Too slow"),
            Disconnect::AuthTimedOut => (4002, "Authentication timed out"),
            Disconnect::NotAuthorized(_) => (4001, "Not Authorized!"),
            Disconnect::Stopping => (1012, "Service restart"),
            Disconnect::Broken(farewell) | Disconnect::Rejected(farewell) => return Some(farewell),
        };
        Some(CloseFrame { code, reason })
    }

    /// The code that it is counted under.
    pub fn close_code(self) -> CloseCode {
        match self {
            Disconnect::ClientClosed(code) => CloseCode::of(code),
            _ => self.close_frame().map_or(CloseCode::NONE, |farewell| {
                CloseCode::of(Some(farewell.code))
            }),
        }
    }
}

/// The time limits of a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How often the client is pinged, and so has to let hear from it.
    pub ping_interval: Duration,
    /// For the client to take something, and to answer a close.
    pub write: Duration,
}

/// A WebSocket connection behind its handshake.
pub struct Session {
    socket: Socket,
    outbox: SendQueue,
    websocket: WebSocketContext,
    stop: Shutdown,
    limits: Limits,
    reading: Reading,
}

/// What is known of the incoming side.
struct Reading {
    last_heard: Instant,
    /// What the client's close frame said, once it has come.
    close_code: Option<u16>,
    /// The last `recv` took less than there was room for, so another would find nothing
    /// until `poll` says so.
    is_drained: bool,
}

impl Session {
    /// Takes over a connection; `early` is what came behind the handshake.
    pub fn new(
        socket: Socket,
        outbox: SendQueue,
        early: Vec<u8>,
        limits: Limits,
        stop: Shutdown,
    ) -> Session {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0) // one write per frame, so that the outbox gets whole frames
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        Session {
            socket,
            outbox,
            websocket: WebSocketContext::from_partially_read(early, Role::Server, Some(config)),
            stop,
            limits,
            reading: Reading {
                last_heard: Instant::now(),
                close_code: None,
                is_drained: false,
            },
        }
    }

    /// Waits for the next text message; past `deadline`, the client has not authenticated.
    ///
    /// # Errors
    /// How the connection ends; then [`Session::finish`] has to follow.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Utf8Bytes, Disconnect> {
        loop {
            // Before each message, so that a client that never pauses can't put it off.
            self.check_disconnect(deadline)?;
            match self.read() {
                Ok(Message::Text(text)) => return Ok(text),
                Ok(Message::Binary(_)) => {
                    let reason = "Binary messages are not taken";
                    return Err(Disconnect::Rejected(CloseFrame { code: 1003, reason }));
                }
                Ok(Message::Close(frame)) => {
                    self.reading.close_code = frame.map(|frame| frame.code.into());
                }
                Ok(_) => {} // tungstenite answers pings and closes
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.sleep(deadline)?;
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Err(Disconnect::ClientClosed(self.reading.close_code));
                }
                Err(error) => return Err(ending(&error)),
            }
        }
    }

    /// Says farewell where that is still possible, and ends the connection.
    pub fn finish(mut self, ending: Disconnect) {
        match ending {
            Disconnect::Gone | Disconnect::Silent | Disconnect::Stalled => {}
            Disconnect::ClientClosed(_) => {
                self.flush(Instant::now() + self.limits.write); // the answer is in the outbox
            }
            _ => self.send_close(ending),
        }
        self.socket.cut();
    }

    fn read(&mut self) -> Result<Message, Error> {
        let mut wire = Wire {
            socket: &self.socket,
            outbox: &self.outbox,
            reading: &mut self.reading,
        };
        self.websocket.read(&mut wire)
    }

    /// Notices the end.
    fn check_disconnect(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        match self.outbox.state() {
            QueueState::Overflowed => return Err(Disconnect::TooSlow),
            QueueState::Broken => return Err(Disconnect::Gone),
            QueueState::Open => {}
        }
        if self.stop.is_triggered() {
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
        self.reading.last_heard + SILENT_INTERVALS * self.limits.ping_interval
    }

    /// Sleeps until something is to be done or the socket can be read; drains a backlog.
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
            PollFd::new(self.outbox.bell(), PollFlags::IN),
        ];
        wait(&mut fds, Some(due)).map_err(|_| Disconnect::Gone)?;
        let events = fds[0].revents();
        let can_write = events.contains(PollFlags::OUT);
        let is_rung = !fds[1].revents().is_empty();
        self.reading.is_drained = (events - PollFlags::OUT).is_empty();
        if is_rung {
            self.outbox.answer_bell();
        }
        if can_write {
            self.outbox.resume();
        }
        Ok(())
    }

    /// Until when the socket has to take something, if something waits.
    fn stall_limit(&self) -> Result<Option<Instant>, Disconnect> {
        let limit = || {
            self.outbox
                .stalled_since()
                .map(|since| since + self.limits.write)
        };
        if limit().is_some_and(|limit| limit <= Instant::now()) {
            // `poll` says writable only when a third of the buffer is free. A slow reader may
            // have made room for less, so we ask the socket itself before we give up.
            self.outbox.resume();
        }
        match limit() {
            Some(limit) if limit <= Instant::now() => Err(Disconnect::Stalled),
            limit => Ok(limit),
        }
    }

    fn send_close(&mut self, ending: Disconnect) {
        // What waited is dropped then, whatever else went wrong at the same moment.
        let told = match self.outbox.state() {
            QueueState::Overflowed => Disconnect::TooSlow,
            _ => ending,
        };
        let Some(CloseFrame { code, reason }) = told.close_frame() else {
            return;
        };
        let backlog = match told {
            Disconnect::TooSlow => Backlog::Drop,
            _ => Backlog::Keep,
        };
        let limit = match told {
            Disconnect::Stopping => self.stop.limit(),
            _ => self.limits.write,
        };
        let deadline = Instant::now() + limit;
        self.outbox.close(frame::close(code, reason), backlog);
        if !self.flush(deadline) {
            return;
        }
        match ending {
            Disconnect::Broken(_) => self.socket.linger(self.limits.write),
            // All of it in one limit, or else who takes the last byte at the last moment
            // would have twice the time.
            Disconnect::TooSlow => self.await_close(deadline),
            _ => self.await_close(Instant::now() + self.limits.write),
        }
    }

    /// Writes all that waits; false when the peer would not take it in time.
    fn flush(&self, deadline: Instant) -> bool {
        while !self.outbox.is_empty() {
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
            self.outbox.resume();
        }
        self.outbox.state() != QueueState::Broken
    }

    /// Drops what still comes until the client's close frame (RFC 6455 §7.1.1).
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

/// What an error of tungstenite means for the connection.
fn ending(error: &Error) -> Disconnect {
    let broken = |code, reason| Disconnect::Broken(CloseFrame { code, reason });
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Disconnect::Gone,
        Error::Capacity(_) => broken(1009, "Message is over 65536 bytes"),
        Error::Utf8(_) => broken(1007, "Text is not UTF-8"),
        Error::Protocol(_) => broken(1002, "Protocol error"),
        _ => Disconnect::Gone,
    }
}

/// The connection as tungstenite sees it: it reads the socket and writes the outbox.
struct Wire<'a> {
    socket: &'a Socket,
    outbox: &'a SendQueue,
    reading: &'a mut Reading,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reading.is_drained {
            return Err(ErrorKind::WouldBlock.into());
        }
        let received = self.socket.receive(buffer)?;
        self.reading.last_heard = Instant::now();
        self.reading.is_drained = (1..buffer.len()).contains(&received);
        Ok(received)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let bytes = Bytes::copy_from_slice(frame);
        match frame::is_close(frame) {
            true => self.outbox.close(bytes, Backlog::Keep),
            // Refused: the connection ends already, and the pong with it.
            false => drop(self.outbox.push(&bytes)),
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
