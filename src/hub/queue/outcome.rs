//! The results of a push, the states of a send queue, and the ways to close it.

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

/// What happens to waiting bytes when a queue is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// They are sent before the last frame.
    Keep,
    /// They are dropped, but for a frame that is sent in part already.
    Drop,
}
