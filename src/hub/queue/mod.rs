//! The send queue of one subscriber, and the right to write its socket.
//!
//! The thread that pushes a frame also writes it, without blocking, as long as the socket takes it:
//! waking another thread costs four times as much as the write. With one thread per subscriber,
//! woken for every message, a delivery cost 12.5 µs of CPU; written by the broadcasting thread it
//! costs 2.4 to 3.0 µs, where a bare `write` costs 2.2 to 2.7 µs. Only when the socket is full is
//! the subscriber's own thread woken, which goes on when `poll` says writable. Every write goes
//! through the queue, so frames can't interleave.
//!
//! [`SendQueue`] is the queue as others see it. `writer` is how threads share it, and where a queue
//! that is over its limit is cut off (`enqueue`). [`QueueBudget`] limits all queues together, and
//! cuts off the fullest.

mod budget;
mod outcome;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use budget::QueueBudget;
pub use outcome::{Push, QueueState};
pub use writer::FRAME_COST;

use crate::net::socket::Socket;
use crate::net::sync::MutexGuard;
use crate::net::waker::Waker;
use writer::{Shared, Writer};

/// A handle on one subscriber's queue; clones share it.
#[derive(Debug, Clone)]
pub struct SendQueue(Arc<Shared>);

impl SendQueue {
    /// A queue that writes to `socket`, in which at most `limit` bytes wait, and which counts them
    /// towards the `budget` of all queues. If more than that would wait, it ends with `too_slow`.
    ///
    /// # Errors
    /// When descriptors have run out: it needs one for its waker.
    pub fn new(
        socket: Socket,
        limit: usize,
        budget: QueueBudget,
        too_slow: Bytes,
    ) -> io::Result<SendQueue> {
        Ok(SendQueue(Shared::new(socket, limit, budget, too_slow)?))
    }

    /// Pushes whole frames, one or several: written at once if the socket takes them, else queued.
    pub fn push(&self, frames: &Bytes) -> Push {
        self.0.push(frames)
    }

    /// Brings what a push reads into the processor's cache. Called for several queues before they
    /// are pushed to: their loads then overlap, where each push would wait for its own.
    pub fn prefetch(&self) {
        self.0.prefetch();
    }

    /// Rejects further pushes, and sends `last` when nothing else waits. Only the first call counts.
    ///
    /// A queue that has overflowed has dropped its backlog, and sends `too_slow` instead of `last`,
    /// whichever of the two came first.
    ///
    /// The owner has to resume until the queue is empty: a push that is being rejected at this
    /// moment has counted its bytes, and then only the owner writes `last`.
    pub fn close(&self, last: Bytes) {
        self.0.close(last);
    }

    /// Queues further pushes until the guard is dropped, then writes them together.
    pub fn cork(&self) -> Cork<'_> {
        Cork {
            shared: &self.0,
            writer: Some(self.0.hold()),
        }
    }

    /// Goes on writing after a stall. The owner calls it when `poll` says writable.
    pub fn resume(&self) {
        self.0.resume();
    }

    /// Since when the socket has taken nothing although bytes wait.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.0.stalled_since()
    }

    /// Whether all pushed bytes have been handed to the kernel.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the subscriber has to be disconnected, because it is too slow or gone.
    pub fn state(&self) -> QueueState {
        self.0.state()
    }

    /// The waker that the owner polls to learn of a stall or a changed state.
    pub fn waker(&self) -> &Waker {
        self.0.waker()
    }

    /// Wakes the owner, for a reason outside the queue.
    pub fn wake(&self) {
        self.0.waker().wake();
    }

    /// Clears the waker. The owner looks at the stall and the state after that, not before.
    pub fn clear_waker(&self) {
        self.0.waker().clear();
    }
}

/// Pushes only queue while it lives; see [`SendQueue::cork`].
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
