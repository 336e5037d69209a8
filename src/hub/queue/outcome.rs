//! The results of a push, and the states of a send queue.

/// The result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// The bytes were written, or wait for their turn.
    Accepted,
    /// The subscriber is too slow, closing or gone.
    Rejected,
}

/// Whether a queue accepts bytes, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueState {
    /// It accepts them, or was closed on purpose.
    Open,
    /// More waited than its limit or the budget of all queues allows; what still waits is dropped.
    Overflowed,
    /// The socket refused a write: the peer is gone.
    Broken,
}
