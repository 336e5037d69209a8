//! The budget of all send queues together: the bytes that may wait in them, with what each waiting
//! frame costs besides.
//!
//! Only queues whose socket is full are listed, so a server whose subscribers keep up pays nothing.
//! Bytes count once for each queue that they wait in; a frame that waits in many is in memory once,
//! so the real need is less.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::net::sync::{AtomicI64, Mutex, Ordering};

/// Queues are evicted until the total is below the budget by this part of it.
const MARGIN: i64 = 16;

/// A queue in which bytes wait, as the budget sees it.
pub(super) trait Waiting: fmt::Debug + Send + Sync {
    /// The bytes that it counts towards the budget.
    fn waiting_bytes(&self) -> u64;

    /// Makes the owner drop what waits and disconnect the subscriber. Locks no queue.
    fn overflow(&self);
}

/// A handle on the budget; clones share it.
#[derive(Debug, Clone)]
pub struct QueueBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Negative for a moment, when bytes are subtracted before they were added.
    bytes: AtomicI64,
    limit: AtomicI64,
    /// Guards the stalled queues, by address. Nothing is locked under it.
    stalled: Mutex<HashMap<usize, Weak<dyn Waiting>>>,
}

impl QueueBudget {
    /// A budget of `limit` bytes, of which none is used.
    pub fn new(limit: usize) -> QueueBudget {
        QueueBudget(Arc::new(Shared {
            bytes: AtomicI64::new(0),
            limit: AtomicI64::new(signed(limit)),
            stalled: Mutex::default(),
        }))
    }

    /// Changes the limit. If the total is over it, queues are evicted when the next frame waits.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(signed(limit), Ordering::Relaxed);
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.0.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The bytes that may wait.
    pub fn limit(&self) -> u64 {
        u64::try_from(self.0.limit.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts bytes that begin to wait.
    pub(super) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// Counts bytes that no longer wait.
    pub(super) fn remove(&self, bytes: u64) {
        self.0.bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// If the total is over its budget, evicts the fullest queues until it is well within: the search
    /// looks at all that are stalled, and must not follow each frame of thousands. Locks no queue:
    /// the holder of its lock may be waiting for the caller's.
    pub(super) fn evict_fullest(&self) {
        let bytes = || self.0.bytes.load(Ordering::Relaxed);
        let limit = self.0.limit.load(Ordering::Relaxed);
        if bytes() <= limit {
            return;
        }
        let mut queues = self.waiting();
        queues.sort_unstable_by_key(|(waiting, _)| Reverse(*waiting));
        for (_, fullest) in queues {
            if bytes() <= limit - limit / MARGIN {
                return;
            }
            fullest.overflow();
        }
    }

    /// Lists a stalled queue.
    pub(super) fn list(&self, key: usize, queue: Weak<dyn Waiting>) {
        self.0.stalled.lock().insert(key, queue);
    }

    /// Takes a queue off the list.
    pub(super) fn unlist(&self, key: usize) {
        self.0.stalled.lock().remove(&key);
    }

    /// The queues in which bytes wait, with how many.
    fn waiting(&self) -> Vec<(u64, Arc<dyn Waiting>)> {
        let stalled = self.0.stalled.lock();
        // Kept until the list is unlocked: dropping the last handle of a queue unlists it.
        let queues: Vec<Arc<dyn Waiting>> = stalled.values().filter_map(Weak::upgrade).collect();
        drop(stalled);
        let counted = queues
            .into_iter()
            .map(|queue| (queue.waiting_bytes(), queue));
        counted.filter(|(bytes, _)| *bytes > 0).collect()
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Push, QueueState};
    use super::super::tests::{bytes, drain, fill, pair_in, read, until_broken};
    use super::super::writer::FRAME_COST;
    use super::*;

    const AMPLE: usize = 1 << 30;

    #[test]
    fn waiting_bytes_are_counted_until_they_are_written() {
        let budget = QueueBudget::new(AMPLE);
        let (queue, mut peer) = pair_in(&budget, AMPLE);
        let pushed = fill(&queue);
        let waiting = budget.bytes();
        assert!(waiting > 0);
        assert_eq!(queue.push(&bytes("more")), Push::Accepted);
        assert_eq!(budget.bytes(), waiting + 4 + FRAME_COST as u64);
        let reader = std::thread::spawn(move || read(&mut peer, pushed + 4));
        drain(&queue);
        reader.join().unwrap();
        assert_eq!(budget.bytes(), 0);
        assert!(budget.0.stalled.lock().is_empty());
    }

    #[test]
    fn the_fullest_queue_is_evicted_first() {
        let budget = QueueBudget::new(512 * 1024);
        let (small, _a) = pair_in(&budget, AMPLE);
        let (large, _b) = pair_in(&budget, AMPLE);
        fill(&small);
        fill(&large);
        let frame = bytes(&"x".repeat(100 * 1024));
        for _ in 0..4 {
            assert_eq!(large.push(&frame), Push::Accepted);
        }
        assert_eq!(large.state(), QueueState::Open);
        // Over the budget by one frame, which is not the evicted queue's.
        for _ in 0..2 {
            assert_eq!(small.push(&frame), Push::Accepted);
        }
        assert_eq!(large.state(), QueueState::Overflowed);
        assert_eq!(small.state(), QueueState::Open);
        assert!(budget.bytes() <= 512 * 1024);
    }

    #[test]
    fn a_queue_that_is_gone_counts_no_bytes() {
        let budget = QueueBudget::new(AMPLE);
        let (left, _a) = pair_in(&budget, AMPLE);
        let (reset, peer) = pair_in(&budget, AMPLE);
        fill(&left);
        fill(&reset);
        drop(left);
        drop(peer);
        until_broken(&reset);
        assert!(budget.0.stalled.lock().is_empty());
        assert_eq!(budget.bytes(), 0);
    }
}
