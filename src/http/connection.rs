//! HTTP on one connection: requests and responses in turn, with their time limits.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags};

use super::decoder::{Decoder, Progress, Request};
use super::error::HttpError;
use super::growth;
use super::head::Head;
use super::head_end;
use super::response::{Persistence, Response};
use super::status::Status;
use crate::net;
use crate::net::connections::RequestGuard;
use crate::net::input_budget::{FREE, LARGE, OverBudget};
use crate::net::poll::{Wait, wait};
use crate::net::shutdown::Shutdown;
use crate::net::socket::READ_SIZE;
use crate::telemetry::counters;
use crate::telemetry::labels::RejectReason;
use crate::telemetry::throttle::Throttle;

/// A larger buffer, left by a large request, is given back between requests; in bytes. An idle
/// connection is not charged for the one that it keeps.
const KEPT_CAPACITY: usize = FREE;

static OVER_BUDGET: Throttle = Throttle::new();

/// The limits of requests and responses.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Longest time for a request to arrive whole.
    pub request: Duration,
    /// Longest time between two requests.
    pub idle: Duration,
    /// Longest time for the peer to take a response.
    pub write: Duration,
}

/// What the client did next.
#[derive(Debug)]
pub enum Next {
    /// It sent a whole request.
    Request(Request),
    /// It sent what can only be rejected; the connection ends with that.
    Rejected(HttpError),
    /// It is gone, or has been silent for too long.
    End,
}

/// A connection that speaks HTTP.
pub struct Connection {
    /// Dropped before the permit in `inner`: a request ends before its connection.
    phase: Phase,
    inner: net::Connection,
    shutdown: Shutdown,
    /// Those in force when the last request began.
    limits: Limits,
    decoder: Decoder,
    /// Bytes that have arrived and are not decoded yet.
    input: Vec<u8>,
    /// When the phase has to be over; between requests, the socket's receive limit ends it.
    deadline: Instant,
    /// The receive limit of the socket, once it was set.
    receive_limit: Option<Duration>,
}

/// What the connection is waiting for.
enum Phase {
    /// Its first bytes.
    First,
    /// The rest of a request that has begun to arrive, or its response.
    Request(RequestGuard),
    /// The next request. The thread sleeps in `recv`, for every request of a busy publisher: a
    /// `poll` before it would cost a tenth of the whole broadcast.
    Idle,
}

impl Connection {
    /// HTTP on a connection that was accepted just now.
    pub fn new(inner: net::Connection, limits: Limits, shutdown: Shutdown) -> Connection {
        Connection {
            phase: Phase::First,
            inner,
            shutdown,
            limits,
            decoder: Decoder::new(limits.max_body),
            input: Vec::new(),
            deadline: Instant::now() + limits.request,
            receive_limit: None,
        }
    }

    /// The TCP connection with its permits.
    pub fn inner(&mut self) -> &mut net::Connection {
        &mut self.inner
    }

    /// Waits for the next request; the one before is answered. `limits` is asked when it begins.
    pub fn next_request(&mut self, limits: impl Fn() -> Limits) -> Next {
        if matches!(self.phase, Phase::Request(_)) && self.become_idle().is_err() {
            return Next::End;
        }
        loop {
            if self.note_beginning(&limits).is_none() {
                return Next::End;
            }
            let progress = match self.decoder.advance(&mut self.input) {
                Ok(Progress::Whole(request)) => return self.accept(request),
                Ok(progress) => progress,
                Err(error) => return Next::Rejected(error),
            };
            if let Phase::Request(guard) = &self.phase {
                guard.mark_partial();
            }
            if let Err(over_budget) = self.charge_next_read() {
                return reject_over_budget(over_budget);
            }
            if matches!(progress, Progress::AwaitsContinue)
                && self.send(b"HTTP/1.1 100 Continue\r\n\r\n").is_err()
            {
                return Next::End;
            }
            if let Some(end) = self.receive() {
                return end;
            }
        }
    }

    fn accept(&self, request: Request) -> Next {
        match &self.phase {
            Phase::Request(guard) if !guard.mark_whole() => Next::End, // evicted before
            _ => Next::Request(request),
        }
    }

    /// Charges what the next read can make the buffers take, before they grow. A body whose length
    /// is known is refused before it is sent, when it would not fit now.
    fn charge_next_read(&mut self) -> Result<(), OverBudget> {
        let charge = &mut self.inner.input_charge;
        let announced = self.decoder.take_announced().unwrap_or(0);
        if announced > LARGE {
            charge.check(announced)?;
        }
        let input = growth::peak(&self.input, READ_SIZE, usize::MAX);
        charge.set(input + self.decoder.memory_after(input))?;
        growth::reserve(&mut self.input, READ_SIZE, usize::MAX);
        Ok(())
    }

    /// Drops the body of a request that was handled, and gives back what it took: the client may
    /// take its time to read the response.
    pub fn release_body(&mut self, request: Request) -> Head {
        drop(request.body);
        let _ = self.inner.input_charge.set(self.input.capacity()); // less than before
        request.head
    }

    /// Drops everything that has arrived: nothing more is read but to be dropped.
    fn release_input(&mut self) {
        self.input = Vec::new();
        self.decoder = Decoder::new(0);
        self.inner.input_charge.clear();
    }

    /// Sends bytes within one limit for all of them: a peer that takes them one by one would hold
    /// its place for ever. Unless it takes them at once, it may be evicted.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.write;
        let sent = match self.inner.socket.send(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        if sent == bytes.len() {
            return Ok(());
        }
        self.mark_sending();
        self.inner.socket.send_all(&bytes[sent..], deadline)
    }

    fn mark_sending(&self) {
        if let Phase::Request(guard) = &self.phase {
            guard.mark_sending();
        }
    }

    /// Ends the sending side, and waits until the peer has taken what was sent.
    fn linger(&mut self) {
        self.release_input();
        self.mark_sending();
        self.inner.socket.linger(self.limits.write);
    }

    /// Sends a response. Returns whether the connection is kept; if not, the caller drops it.
    pub fn respond(&mut self, response: Response, head: &Head) -> Persistence {
        let is_stopping = self.shutdown.is_triggered();
        let persistence = Persistence::kept_if(head.wants_more() && !is_stopping);
        if self.send(&response.encode(head, persistence)).is_err() {
            return Persistence::Close;
        }
        // A client that did not ask for the end may have sent more.
        if persistence == Persistence::Close && (is_stopping || !self.input.is_empty()) {
            self.linger();
        }
        persistence
    }

    /// Sends an error, and ends the connection so that the error arrives.
    pub fn reject(mut self, error: HttpError) {
        self.release_input();
        self.mark_sending();
        if self.send(&encode(error)).is_ok() {
            self.linger();
        }
    }

    /// Sends the head of a response, after which the connection speaks another protocol, or sends
    /// a stream; returns it with the bytes that have arrived already.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn upgrade(
        mut self,
        response: Response,
        head: &Head,
    ) -> io::Result<(net::Connection, Vec<u8>)> {
        let persistence = Persistence::kept_if(head.wants_more());
        self.send(&response.encode(head, persistence))?;
        let mut early = self.input;
        early.shrink_to_fit(); // it is kept for as long as the connection
        let _ = self.inner.input_charge.set(early.capacity()); // less than before
        Ok((self.inner, early))
    }

    /// Ends the request that was answered: the connection is idle until the next one.
    fn become_idle(&mut self) -> io::Result<()> {
        self.phase = Phase::Idle;
        self.deadline = Instant::now() + self.limits.idle;
        if self.input.is_empty() && self.input.capacity() > KEPT_CAPACITY {
            self.input = Vec::new();
        }
        self.limit_receiving(self.limits.idle)
    }

    fn limit_receiving(&mut self, limit: Duration) -> io::Result<()> {
        if self.receive_limit != Some(limit) {
            self.inner.socket.limit_receiving(limit)?;
            self.receive_limit = Some(limit);
        }
        Ok(())
    }

    /// Notes that a request begins, if bytes have arrived. None when the connection was evicted
    /// before, or its time has passed with nothing but empty lines: some clients send one after a
    /// body.
    fn note_beginning(&mut self, limits: impl Fn() -> Limits) -> Option<()> {
        if self.input.is_empty() || matches!(self.phase, Phase::Request(_)) {
            return Some(());
        }
        self.input.drain(..head_end::empty_lines(&self.input));
        if self.input.is_empty() || self.input == b"\r" {
            return self.keep_deadline();
        }
        self.limits = limits();
        self.decoder.set_max_body(self.limits.max_body);
        let request = self.inner.permit.begin_request()?;
        self.phase = Phase::Request(request);
        self.deadline = Instant::now() + self.limits.request;
        Some(())
    }

    /// Goes on waiting for a request until the same deadline; none when it has passed.
    fn keep_deadline(&mut self) -> Option<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if matches!(self.phase, Phase::Idle) {
            self.limit_receiving(left).ok()?;
        }
        Some(())
    }

    /// Receives more input; returns what ends the connection, if something does.
    fn receive(&mut self) -> Option<Next> {
        let in_request = matches!(self.phase, Phase::Request(_));
        let received = match self.phase {
            Phase::Idle => self.inner.socket.receive_waiting(&mut self.input),
            Phase::First | Phase::Request(_) => self.receive_until_deadline(),
        };
        match received {
            Ok(0) if in_request => {
                let error = HttpError::bad_request("the connection ended inside the request");
                Some(Next::Rejected(error))
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && in_request => {
                let limit = self.limits.request;
                let message = format!("request did not arrive whole within {limit:?}");
                Some(Next::Rejected(HttpError::new(
                    Status::RequestTimeout,
                    message,
                )))
            }
            Ok(0) | Err(_) => Some(Next::End),
            Ok(_) => None,
        }
    }

    fn receive_until_deadline(&mut self) -> io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.inner.socket, PollFlags::IN)];
            if wait(&mut fds, Some(self.deadline))? == Wait::TimedOut {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.inner.socket.receive_into(&mut self.input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

/// An error, as it is sent to a peer whose request could not be read.
pub fn encode(error: HttpError) -> Vec<u8> {
    Response::from(error).encode_without_head()
}

/// Counts and logs a request for which there is no memory, and says so.
fn reject_over_budget(over_budget: OverBudget) -> Next {
    counters::REJECTIONS.add_one(RejectReason::InputTotal);
    if let Some(suppressed) = OVER_BUDGET.pass() {
        warn!("request refused status=503 reason=\"{over_budget}\" suppressed={suppressed}");
    }
    Next::Rejected(HttpError::new(Status::Unavailable, over_budget.to_string()))
}
