//! What waits for all subscribers together, and who has to go when it is too much.
//!
//! Only those whose socket is full are on the list, so a server that keeps up pays nothing.
//! Bytes are counted as each subscriber would have to be sent them; a frame that waits for
//! many is in memory once, so the real need is less.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::writer::Shared as Entry;
use crate::net::sync::{AtomicI64, Mutex, Ordering};

/// A handle on the total; clones share it.
#[derive(Debug, Clone)]
pub struct QueueBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Below zero for a moment, when bytes are taken off before they were put on.
    bytes: AtomicI64,
    limit: AtomicI64,
    /// Guards who has something waiting, by address. Nothing is locked under it.
    stalled: Mutex<HashMap<usize, Weak<Entry>>>,
}

impl QueueBudget {
    /// Nothing waits, and `limit` bytes may.
    pub fn new(limit: usize) -> QueueBudget {
        QueueBudget(Arc::new(Shared {
            bytes: AtomicI64::new(0),
            limit: AtomicI64::new(signed(limit)),
            stalled: Mutex::default(),
        }))
    }

    /// Changes how many bytes may wait. Whoever has to go for that goes with the next frame that
    /// has to wait.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(signed(limit), Ordering::Relaxed);
    }

    /// What waits, in bytes.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.0.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// What may wait, in bytes.
    pub fn limit(&self) -> u64 {
        u64::try_from(self.0.limit.load(Ordering::Relaxed)).unwrap_or(0)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: u64) {
        self.0.bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) > self.0.limit.load(Ordering::Relaxed)
    }

    pub(super) fn enlist(&self, key: usize, entry: Weak<Entry>) {
        self.0.stalled.lock().insert(key, entry);
    }

    pub(super) fn strike(&self, key: usize) {
        self.0.stalled.lock().remove(&key);
    }

    /// The one for whom most waits.
    pub(super) fn largest(&self) -> Option<Arc<Entry>> {
        let stalled = self.0.stalled.lock();
        // Kept until the list is let go: the last handle of one takes it off the list.
        let entries: Vec<Arc<Entry>> = stalled.values().filter_map(Weak::upgrade).collect();
        drop(stalled);
        let largest = entries.iter().max_by_key(|entry| entry.countable())?;
        (largest.countable() > 0).then(|| largest.clone())
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bytes, fill, pair_in, read};
    use super::super::{Push, QueueState};
    use super::*;

    const AMPLE: usize = 1 << 30;

    #[test]
    fn what_waits_is_counted_and_forgotten() {
        let total = QueueBudget::new(AMPLE);
        let (outbox, mut peer) = pair_in(&total, AMPLE);
        let pushed = fill(&outbox);
        let waiting = total.bytes();
        assert!(waiting > 0);
        assert_eq!(outbox.push(&bytes("more")), Push::Accepted);
        assert_eq!(total.bytes(), waiting + 4);
        let reader = std::thread::spawn(move || read(&mut peer, pushed + 4));
        while !outbox.is_empty() {
            outbox.resume();
        }
        reader.join().unwrap();
        assert_eq!(total.bytes(), 0);
        assert!(total.0.stalled.lock().is_empty());
    }

    #[test]
    fn the_one_for_whom_most_waits_goes_first() {
        let total = QueueBudget::new(512 * 1024);
        let (small, _a) = pair_in(&total, AMPLE);
        let (large, _b) = pair_in(&total, AMPLE);
        fill(&small);
        fill(&large);
        let frame = bytes(&"x".repeat(100 * 1024));
        for _ in 0..4 {
            assert_eq!(large.push(&frame), Push::Accepted);
        }
        assert_eq!(large.state(), QueueState::Open);
        // One too many, and it need not be the one that was pushed to.
        for _ in 0..2 {
            assert_eq!(small.push(&frame), Push::Accepted);
        }
        assert_eq!(large.state(), QueueState::Overflowed);
        assert_eq!(small.state(), QueueState::Open);
        assert!(total.bytes() <= 512 * 1024);
    }

    #[test]
    fn who_is_gone_is_off_the_list_with_all_its_bytes() {
        let total = QueueBudget::new(AMPLE);
        let (left, _a) = pair_in(&total, AMPLE);
        let (reset, peer) = pair_in(&total, AMPLE);
        fill(&left);
        fill(&reset);
        drop(left);
        drop(peer);
        while reset.state() == QueueState::Open {
            reset.resume();
        }
        assert!(total.0.stalled.lock().is_empty());
        assert_eq!(total.bytes(), 0);
    }
}
