//! The session of one WebSocket connection: its thread waits, reads, and ends the connection.
//!
//! tungstenite parses the frames; what it writes goes through the send queue. The thread sleeps in
//! one `poll` over the socket and the queue's waker, and otherwise wakes for its own deadlines
//! only; a shutdown wakes it through the waker.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes, error::ProtocolError};

use super::disconnect::Disconnect;
use super::frame;
use super::frame_meter::FrameMeter;
use super::push::WebSocketPush;
use super::rate_limit::{AUTHENTICATED, FrameRate, STRANGER};
use super::wire::{Receiving, Wire};
use crate::hub::queue::QueueState;
use crate::net::InputCharge;
use crate::net::poll::wait;
use crate::net::shutdown::Shutdown;
use crate::net::socket::Socket;
use crate::protocol::close_frame::CloseFrame;
use crate::protocol::limits::MAX_CLIENT_MESSAGE;

/// What tungstenite reads at once, in bytes. It keeps a buffer of this size per connection.
const READ_BUFFER: usize = 512;
/// A peer that is silent for so many ping intervals is dead.
const SILENT_INTERVALS: u32 = 2;
/// A session that notices silence so late was not running: the process was stopped, or its machine
/// paused. Its client may have been, too.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Most answers that wait for a client. Until they have gone out, nothing more is read from it.
const MAX_UNSENT_ANSWERS: u32 = 16;

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
    push: WebSocketPush,
    websocket: WebSocketContext,
    shutdown: Shutdown,
    limits: TimeLimits,
    receiving: Receiving,
    rate: FrameRate,
    /// What a message that is not whole takes of the memory for everything that arrives.
    input_charge: InputCharge,
    /// The code of the client's close frame, once it has arrived.
    close_code: Option<u16>,
    /// Answers to the client since nothing waited for it.
    unsent_answers: u32,
    /// The time of the last bytes when the client, silent while the session had stood still, was
    /// pinged anew.
    pinged_again_after: Option<Instant>,
}

impl Session {
    /// The session of a connection; `early` are the bytes that arrived after the handshake.
    pub fn new(
        socket: Socket,
        push: WebSocketPush,
        early: Vec<u8>,
        input_charge: InputCharge,
        limits: TimeLimits,
        shutdown: Shutdown,
    ) -> Session {
        let now = Instant::now();
        let mut meter = FrameMeter::default();
        meter.feed(&early);
        Session {
            socket,
            push,
            websocket: parser(early),
            shutdown,
            limits,
            receiving: Receiving {
                last_received: now,
                meter,
                is_drained: false,
            },
            rate: FrameRate::new(now),
            input_charge,
            close_code: None,
            unsent_answers: 0,
            pinged_again_after: None,
        }
    }

    /// Waits for the next text message, whose answer has to be pushed before the next call. With a
    /// `deadline`, the client has not authenticated yet, and has to before it.
    ///
    /// # Errors
    /// Why the connection ends; [`Session::finish`] has to follow.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Utf8Bytes, Disconnect> {
        loop {
            // Before each read, so that a client that never pauses can't put it off.
            self.check_disconnect(deadline)?;
            if self.awaits_answers_sent() {
                self.sleep(deadline, PollFlags::empty())?;
                continue;
            }
            let message = self.read();
            self.check_rate(deadline)?;
            match message {
                Ok(Message::Text(text)) => {
                    self.unsent_answers += 1;
                    return Ok(text);
                }
                Ok(Message::Binary(_)) => {
                    return Err(Disconnect::Rejected(CloseFrame::BinaryMessage));
                }
                Ok(Message::Close(frame)) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                }
                // tungstenite answers it. The event `ping` is a text.
                Ok(Message::Ping(_)) => self.unsent_answers += 1,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.charge_input(deadline)?;
                    if self.receiving.is_drained {
                        self.free_parser();
                        self.sleep(deadline, PollFlags::IN)?;
                    }
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Err(Disconnect::ClientClosed(self.close_code));
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
        let mut wire = Wire::new(&self.socket, &self.push, &mut self.receiving);
        self.websocket.read(&mut wire)
    }

    /// Whether so many answers wait that no more may: what is read would have to be answered.
    fn awaits_answers_sent(&mut self) -> bool {
        let queue = self.push.queue();
        if self.unsent_answers > 0 && queue.is_empty() {
            self.unsent_answers = 0;
        }
        if self.unsent_answers < MAX_UNSENT_ANSWERS {
            return false;
        }
        queue.resume(); // after it, the socket is full, or nothing waits
        queue.stalled_since().is_some()
    }

    /// Counts the frames that have arrived.
    fn check_rate(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        let limit = match deadline {
            Some(_) => STRANGER,
            None => AUTHENTICATED,
        };
        let frames = self.receiving.meter.take_frames();
        if self.rate.admit(frames, limit, Instant::now()) {
            Ok(())
        } else {
            Err(Disconnect::TooManyMessages)
        }
    }

    /// Charges what the parser holds of a message that is not whole.
    fn charge_input(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        if deadline.is_none() {
            self.input_charge.mark_proven();
        }
        let held = self.receiving.meter.held();
        self.input_charge
            .set(held)
            .map_err(|_| Disconnect::OverInputBudget)
    }

    /// Gives back the buffer that a large frame has left. The parser keeps it for the next one, and
    /// so would thousands of sleeping sessions.
    fn free_parser(&mut self) {
        let meter = &mut self.receiving.meter;
        if meter.is_between_messages() && meter.take_largest() > READ_BUFFER as u64 {
            self.websocket = parser(Vec::new());
        }
    }

    /// Looks for a reason to end the connection.
    fn check_disconnect(&mut self, deadline: Option<Instant>) -> Result<(), Disconnect> {
        match self.push.queue().state() {
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
        self.check_silence(now)
    }

    /// What has arrived and was not read yet is no silence: the session may have been asleep for
    /// longer than it meant to.
    fn check_silence(&mut self, now: Instant) -> Result<(), Disconnect> {
        let limit = self.silence_limit(now);
        if now < limit {
            return Ok(());
        }
        if self.socket.has_input() {
            self.receiving.last_received = now;
            self.push.note_received();
            return Ok(());
        }
        let last_received = Some(self.receiving.last_received);
        if now - limit < STOOD_STILL || self.pinged_again_after == last_received {
            return Err(Disconnect::Silent);
        }
        self.pinged_again_after = last_received;
        self.push.ping_again();
        Ok(())
    }

    /// When the client has been silent for too long, as far as is known now: two intervals after
    /// its last bytes, and one after a ping that it has not answered. A ping may wait because the
    /// client takes nothing; then it is one interval after the last that it took.
    fn silence_limit(&self, now: Instant) -> Instant {
        let interval = self.limits.ping_interval;
        let silent = self.receiving.last_received + SILENT_INTERVALS * interval;
        let pinged = self.push.pinged_at();
        let asked = pinged.or_else(|| self.push.queue().stalled_since());
        silent.max(asked.unwrap_or(now) + interval)
    }

    /// Sleeps until the socket has input, if `interest` says so, a deadline passes or the thread is
    /// woken; writes a backlog.
    fn sleep(&mut self, deadline: Option<Instant>, interest: PollFlags) -> Result<(), Disconnect> {
        let stalled_until = self.stall_limit()?;
        let due = [deadline, stalled_until]
            .into_iter()
            .flatten()
            .fold(self.silence_limit(Instant::now()), Instant::min);
        let interest = match stalled_until {
            Some(_) => interest | PollFlags::OUT,
            None => interest,
        };
        let mut fds = [
            PollFd::new(&self.socket, interest),
            PollFd::new(self.push.queue().waker(), PollFlags::IN),
        ];
        wait(&mut fds, Some(due)).map_err(|_| Disconnect::Gone)?;
        let events = fds[0].revents();
        let can_write = events.contains(PollFlags::OUT);
        let is_woken = !fds[1].revents().is_empty();
        if interest.contains(PollFlags::IN) {
            self.receiving.is_drained = (events - PollFlags::OUT).is_empty();
        }
        if is_woken {
            self.push.queue().clear_waker();
        }
        if can_write {
            self.push.queue().resume();
        }
        Ok(())
    }

    /// Until when the socket has to take something, if bytes wait.
    fn stall_limit(&self) -> Result<Option<Instant>, Disconnect> {
        let limit = || {
            self.push
                .queue()
                .stalled_since()
                .map(|since| since + self.limits.write)
        };
        if limit().is_some_and(|limit| limit <= Instant::now()) {
            // `poll` reports a socket writable only when a third of its buffer is free. A slow
            // reader may have freed less, so one more write is tried before giving up.
            self.push.queue().resume();
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
        let limit = match (reason, self.push.queue().state()) {
            (Disconnect::Stopping, QueueState::Open) => self.shutdown.limit(),
            _ => self.limits.write,
        };
        let deadline = Instant::now() + limit;
        self.push.queue().close(frame::close(close)); // an overflow replaces the frame
        if !self.flush(deadline) {
            return;
        }
        match reason {
            Disconnect::Broken(_) | Disconnect::TooManyMessages => {
                self.socket.linger(self.limits.write);
            }
            // One limit for all of it: a client that takes the last byte at the last moment gets
            // no second one.
            Disconnect::TooSlow => self.await_close(deadline),
            _ => self.await_close(Instant::now() + self.limits.write),
        }
    }

    /// Writes all that waits; false when the peer does not take it in time.
    fn flush(&self, deadline: Instant) -> bool {
        while !self.push.queue().is_empty() {
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
            self.push.queue().resume();
        }
        self.push.queue().state() != QueueState::Broken
    }

    /// Reads and drops frames until the client's close frame (RFC 6455 §7.1.1). What comes at too high
    /// a rate is no longer parsed.
    fn await_close(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            let read = self.read();
            if self.check_rate(None).is_err() {
                return self
                    .socket
                    .linger(deadline.saturating_duration_since(Instant::now()));
            }
            match read {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                    if wait(&mut fds, Some(deadline)).is_err() {
                        return;
                    }
                    self.receiving.is_drained = false;
                }
                Err(_) => return,
            }
        }
    }
}

/// A parser that has these bytes.
fn parser(early: Vec<u8>) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0) // one write per frame: the queue needs whole frames
        .max_message_size(Some(MAX_CLIENT_MESSAGE))
        .max_frame_size(Some(MAX_CLIENT_MESSAGE));
    WebSocketContext::from_partially_read(early, Role::Server, Some(config))
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
