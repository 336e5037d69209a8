//! What goes to one subscriber: a queue, and the right to write its socket.
//!
//! Waking a thread costs four times as much as the write that it would do, so whoever
//! pushes a frame writes it too, as long as the socket takes it. Only when it does not
//! is the subscriber's own thread rung, which goes on when `poll` says writable. This is
//! the only way to the socket, so frames can't interleave. It knows no HTTP, JSON or JWT.
//!
//! This file is what others see of it; `writing` is how it is done.

mod budget;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::net::socket::{Socket, Waker};
use crate::net::sync::MutexGuard;

use writer::{Shared, Writer};

pub use budget::QueueBudget;

/// What became of a frame that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// Written, or waiting for its turn.
    Accepted,
    /// The subscriber is too slow, closing or gone.
    Rejected,
}

/// Whether the outbox still takes frames, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueState {
    /// It takes frames, or was sealed on purpose.
    Open,
    /// More waited than may, for it or for all; what still waits is dropped.
    Overflowed,
    /// The socket refused a write: the peer is gone.
    Broken,
}

/// What happens to waiting frames when the outbox is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// They go out before the last frame.
    Keep,
    /// They are dropped, but for the frame that was begun.
    Drop,
}

/// A handle on one subscriber's outbox; clones share it.
#[derive(Debug, Clone)]
pub struct SendQueue(Arc<Shared>);

impl SendQueue {
    /// An outbox that writes to `socket`, lets at most `limit` bytes wait, and counts them
    /// towards the `total` of all.
    ///
    /// # Errors
    /// When descriptors have run out: it needs one for its bell.
    pub fn new(socket: Socket, limit: usize, total: QueueBudget) -> io::Result<SendQueue> {
        Ok(SendQueue(Shared::new(socket, limit, total)?))
    }

    /// Hands over whole frames, one or several: written at once if the socket takes it, else queued.
    pub fn push(&self, frame: &Bytes) -> Push {
        self.0.push(frame)
    }

    /// Brings what a push reads into the processor's cache. Before several pushes: it waits for
    /// all of that at once, where each push would wait for its own.
    pub fn fetch(&self) {
        self.0.fetch();
    }

    /// Takes no more frames; `last` goes out when nothing else waits. Only the first call counts.
    ///
    /// For the owner, who then resumes until the outbox is empty: a push that is being refused
    /// right now has counted its bytes for a moment, and then nobody else writes `last`.
    pub fn close(&self, last: Bytes, backlog: Backlog) {
        self.0.close(last, backlog);
    }

    /// Lets pushes only queue until the guard is dropped, then writes them together.
    pub fn cork(&self) -> Cork<'_> {
        Cork {
            shared: &self.0,
            writer: Some(self.0.hold()),
        }
    }

    /// Goes on writing after a stall; for the owner, when `poll` said writable.
    pub fn resume(&self) {
        self.0.resume();
    }

    /// Since when the socket has taken nothing although something waits.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.0.stalled_since()
    }

    /// Whether everything that was pushed has been handed to the kernel.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the subscriber has to go, because it was too slow or is gone.
    pub fn state(&self) -> QueueState {
        self.0.state()
    }

    /// What the owner polls to hear of a stall or a verdict.
    pub fn bell(&self) -> &Waker {
        self.0.bell()
    }

    /// Wakes the owner, for a reason that is not in the outbox.
    pub fn ring(&self) {
        self.0.bell().ring();
    }

    /// Silences the bell; look at the stall and the verdict afterwards, not before.
    pub fn answer_bell(&self) {
        self.0.bell().answer();
    }
}

/// While it lives, frames queue; see [`SendQueue::cork`].
pub struct Cork<'a> {
    shared: &'a Shared,
    writer: Option<MutexGuard<'a, Writer>>,
}

impl Drop for Cork<'_> {
    fn drop(&mut self) {
        self.writer = None;
        self.shared.drain();
    }
}

#[cfg(test)]
mod tests;
