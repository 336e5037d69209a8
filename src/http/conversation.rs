//! One connection's requests and answers, with their time limits.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Decoder, Head, Persistence, Progress, Refusal, Reply, Request};
use crate::socket::{Socket, Wait, wait};
use crate::stop::Stop;

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
    Refused(Refusal),
    /// It is gone, or has been silent for too long.
    Over,
}

/// The conversation on one connection.
pub struct Conversation {
    socket: Socket,
    stop: Stop,
    limits: Limits,
    decoder: Decoder,
    /// What has arrived and is not used yet.
    input: Vec<u8>,
    deadline: Instant,
    /// Whether a byte of the next request has come.
    has_begun: bool,
}

impl Conversation {
    /// Begins with a connection that was accepted just now.
    pub fn new(socket: Socket, limits: Limits, stop: Stop) -> Conversation {
        Conversation {
            socket,
            stop,
            limits,
            decoder: Decoder::new(limits.max_body),
            input: Vec::new(),
            deadline: Instant::now() + limits.request,
            has_begun: false,
        }
    }

    /// Waits for the next request.
    pub fn await_request(&mut self) -> Next {
        loop {
            self.note_beginning();
            match self.decoder.advance(&mut self.input) {
                Ok(Progress::Whole(request)) => {
                    self.await_another();
                    return Next::Request(request);
                }
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

    /// Answers a request. Says whether the conversation goes on; if not, it has been ended.
    pub fn reply(&mut self, reply: Reply, head: &Head) -> Persistence {
        let is_ending = self.stop.is_raised();
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
    pub fn refuse(&mut self, refusal: Refusal) {
        let answer = Reply::from(refusal).encode_unasked();
        if self.socket.send_all(&answer, self.limits.write).is_ok() {
            self.socket.linger(self.limits.write);
        }
    }

    /// Switches to another protocol: what has arrived already belongs to it.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn switch(self, reply: Reply, head: &Head) -> std::io::Result<Vec<u8>> {
        let answer = reply.encode(head, Persistence::KeepAlive);
        self.socket.send_all(&answer, self.limits.write)?;
        Ok(self.input)
    }

    fn note_beginning(&mut self) {
        if !self.has_begun && !self.input.is_empty() {
            self.has_begun = true;
            self.deadline = Instant::now() + self.limits.request;
        }
    }

    fn await_another(&mut self) {
        self.has_begun = false;
        self.deadline = Instant::now() + self.limits.idle;
        if self.input.is_empty() && self.input.capacity() > KEPT_CAPACITY {
            self.input = Vec::new();
        }
    }

    /// Reads what comes next; something only when the conversation ends.
    fn receive(&mut self) -> Option<Next> {
        match self.wait_for_input() {
            Ok(Wait::Ready) => {}
            Ok(Wait::TimedOut) if self.has_begun => {
                let limit = self.limits.request;
                let sentence = format!("request did not arrive whole within {limit:?}");
                return Some(Next::Refused(Refusal::new(408, sentence)));
            }
            Ok(Wait::TimedOut) | Err(_) => return Some(Next::Over),
        }
        match self.socket.receive_into(&mut self.input) {
            Ok(0) if self.has_begun => {
                let refusal = Refusal::new(400, "the connection ended inside the request");
                Some(Next::Refused(refusal))
            }
            Ok(0) => Some(Next::Over),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(Next::Over),
        }
    }

    /// Waits on the socket, and between requests on being sent away.
    fn wait_for_input(&self) -> std::io::Result<Wait> {
        let dismissal = self.stop.dismissal();
        let mut fds = [
            PollFd::new(&self.socket, PollFlags::IN),
            PollFd::new(&dismissal, PollFlags::IN),
        ];
        let watched = if self.has_begun { 1 } else { 2 };
        let outcome = wait(&mut fds[..watched], Some(self.deadline))?;
        let is_dismissed = !fds[1].revents().is_empty() && fds[0].revents().is_empty();
        Ok(if is_dismissed {
            Wait::TimedOut
        } else {
            outcome
        })
    }
}
