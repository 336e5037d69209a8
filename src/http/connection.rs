//! One connection's requests and answers, with their time limits.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Decoder, Head, HttpError, Persistence, Progress, Request, Response, head_end};
use crate::net::connections::{ConnectionHandle, RequestGuard};
use crate::net::shutdown::Shutdown;
use crate::net::socket::{Socket, Wait, wait};

/// A buffer that a large request has left is given back, in bytes.
const KEPT_CAPACITY: usize = 16 * 1024;

/// What a conversation allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, in bytes.
    pub max_body: usize,
    /// For a request to arrive whole.
    pub request: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For the peer to take something.
    pub write: Duration,
}

/// What the client did next.
#[derive(Debug)]
pub enum Next {
    /// It asked for something.
    Request(Request),
    /// What it sent can't be answered but with this, and nothing after it.
    Refused(HttpError),
    /// It is gone, or has been silent for too long.
    Over,
}

/// The conversation on one connection.
pub struct Connection {
    socket: Socket,
    guest: ConnectionHandle,
    stop: Shutdown,
    /// Those of the request that is under way, or was last.
    limits: Limits,
    decoder: Decoder,
    /// What has arrived and is not used yet.
    input: Vec<u8>,
    phase: Phase,
    /// When the phase has to be over; between requests the socket knows it too.
    deadline: Instant,
    /// How long the socket itself waits, once it was told.
    receive_limit: Option<Duration>,
}

/// What is going on.
enum Phase {
    /// Nothing has come on this connection yet.
    Fresh,
    /// A request has begun to come, and is not answered.
    UnderWay(RequestGuard),
    /// One request is answered, and no other has begun. The thread sleeps in `recv`, which
    /// a busy publisher's connection does for every request: a `poll` before it would cost a
    /// tenth of the whole broadcast.
    Between,
}

impl Connection {
    /// Begins with a connection that was accepted just now.
    pub fn new(
        socket: Socket,
        limits: Limits,
        guest: ConnectionHandle,
        stop: Shutdown,
    ) -> Connection {
        Connection {
            socket,
            guest,
            stop,
            limits,
            decoder: Decoder::new(limits.max_body),
            input: Vec::new(),
            phase: Phase::Fresh,
            deadline: Instant::now() + limits.request,
            receive_limit: None,
        }
    }

    /// Waits for the next request; the one before it is answered. What is allowed then is asked
    /// when it begins.
    pub fn await_request(&mut self, limits: impl Fn() -> Limits) -> Next {
        if matches!(self.phase, Phase::UnderWay(_)) && self.rest().is_err() {
            return Next::Over;
        }
        loop {
            if self.note_beginning(&limits).is_none() {
                return Next::Over;
            }
            match self.decoder.advance(&mut self.input) {
                Ok(Progress::Whole(request)) => return self.take(request),
                Ok(Progress::AwaitsContinue) => {
                    if self
                        .socket
                        .send_all(b"HTTP/1.1 100 Continue\r\n\r\n", self.limits.write)
                        .is_err()
                    {
                        return Next::Over;
                    }
                }
                Ok(Progress::Partial) => {}
                Err(refusal) => return Next::Refused(refusal),
            }
            if let Some(end) = self.receive() {
                return end;
            }
        }
    }

    fn take(&self, request: Request) -> Next {
        match &self.phase {
            Phase::UnderWay(work) if work.whole().is_none() => Next::Over, // asked to leave
            _ => Next::Request(request),
        }
    }

    /// Answers a request. Says whether the conversation goes on; if not, it has been ended.
    pub fn reply(&mut self, reply: Response, head: &Head) -> Persistence {
        let is_ending = self.stop.is_triggered();
        let persistence = match head.wants_more() && !is_ending {
            true => Persistence::KeepAlive,
            false => Persistence::Close,
        };
        if self
            .socket
            .send_all(&reply.encode(head, persistence), self.limits.write)
            .is_err()
        {
            return Persistence::Close;
        }
        // A client that did not ask for the end may have sent more.
        if persistence == Persistence::Close && (is_ending || !self.input.is_empty()) {
            self.socket.linger(self.limits.write);
        }
        persistence
    }

    /// Turns away what could not be read, and ends the conversation so that the answer arrives.
    pub fn refuse(&mut self, refusal: HttpError) {
        if let Phase::UnderWay(work) = &self.phase {
            work.turned_away();
        }
        let answer = Response::from(refusal).encode_unasked();
        if self.socket.send_all(&answer, self.limits.write).is_ok() {
            self.socket.linger(self.limits.write);
        }
    }

    /// Switches to another protocol: what has arrived already belongs to it.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn upgrade(self, reply: Response, head: &Head) -> std::io::Result<Vec<u8>> {
        let answer = reply.encode(head, Persistence::KeepAlive);
        self.socket.send_all(&answer, self.limits.write)?;
        let mut rest = self.input;
        rest.shrink_to_fit(); // whoever goes on with it keeps it for as long as the connection
        Ok(rest)
    }

    /// What has been asked is answered.
    fn rest(&mut self) -> std::io::Result<()> {
        self.phase = Phase::Between;
        self.deadline = Instant::now() + self.limits.idle;
        if self.input.is_empty() && self.input.capacity() > KEPT_CAPACITY {
            self.input = Vec::new();
        }
        let limit = Some(self.limits.idle);
        if self.receive_limit != limit {
            self.socket.limit_receiving(self.limits.idle)?;
            self.receive_limit = limit;
        }
        Ok(())
    }

    /// Nothing when the connection was asked to leave before the request began, or its time
    /// has passed with nothing but empty lines: some clients send one behind a body.
    fn note_beginning(&mut self, limits: impl Fn() -> Limits) -> Option<()> {
        if self.input.is_empty() || matches!(self.phase, Phase::UnderWay(_)) {
            return Some(());
        }
        self.input.drain(..head_end::empty_lines(&self.input));
        if self.input.is_empty() || self.input == b"\r" {
            return self.wait_no_longer();
        }
        self.limits = limits();
        self.decoder.set_max_body(self.limits.max_body);
        self.phase = Phase::UnderWay(self.guest.begin_work()?);
        self.deadline = Instant::now() + self.limits.request;
        Some(())
    }

    /// What came was no beginning, and gives no new time. Nothing when there is none left.
    fn wait_no_longer(&mut self) -> Option<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if matches!(self.phase, Phase::Between) {
            self.socket.limit_receiving(left).ok()?;
            self.receive_limit = Some(left);
        }
        Some(())
    }

    /// Reads what comes next; something only when the conversation ends.
    fn receive(&mut self) -> Option<Next> {
        let is_under_way = matches!(self.phase, Phase::UnderWay(_));
        let received = match self.phase {
            Phase::Between => self.socket.receive_waiting(&mut self.input),
            Phase::Fresh | Phase::UnderWay(_) => self.receive_until_deadline(),
        };
        match received {
            Ok(0) if is_under_way => {
                let refusal = HttpError::new(400, "the connection ended inside the request");
                Some(Next::Refused(refusal))
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && is_under_way => {
                let limit = self.limits.request;
                let sentence = format!("request did not arrive whole within {limit:?}");
                Some(Next::Refused(HttpError::new(408, sentence)))
            }
            Ok(0) | Err(_) => Some(Next::Over),
            Ok(_) => None,
        }
    }

    fn receive_until_deadline(&mut self) -> std::io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            if wait(&mut fds, Some(self.deadline))? == Wait::TimedOut {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.socket.receive_into(&mut self.input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}
