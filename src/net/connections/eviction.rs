//! Eviction: the end of a connection whose place another needs.
//!
//! The connection that is first in the order of [`ConnectionEntry::eviction_order`] goes. It is
//! chosen under the table's lock, and cut without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::Connections;
use super::entry::{ConnectionEntry, EvictionPriority};
use super::table::Entries;

/// How long an upgrade waits for an idle connection before one that is sending its request is
/// evicted.
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// How often it looks for an idle connection meanwhile: not every change is notified.
const RECHECK: Duration = Duration::from_millis(10);
/// Most candidates that one eviction tries: a candidate may have begun a request just then.
const ATTEMPTS: usize = 8;

impl Connections {
    /// Makes room for the upgrade of an open connection; false if there is none.
    ///
    /// Evicts the longest-idle connection; one that is still sending its request only after
    /// half a second without an idle candidate.
    pub fn evict_for_upgrade(&self) -> bool {
        let idle_deadline = Instant::now() + IDLE_WAIT;
        let mut entries = self.0.entries.lock();
        loop {
            let limit = self.limit();
            if entries.count() <= limit {
                return true;
            }
            if !entries.fit_in(limit) {
                return false;
            }
            let lowest = if Instant::now() < idle_deadline {
                EvictionPriority::Idle
            } else {
                EvictionPriority::Reading
            };
            match entries.evict_one(lowest) {
                Some(entry) => MutexGuard::unlocked(&mut entries, || entry.cut_evicted()),
                None if lowest == EvictionPriority::Reading => return false,
                None => drop(self.0.changed.wait_for(&mut entries, RECHECK)),
            }
        }
    }

    /// Evicts one connection, so that another may be accepted; false if none can be evicted.
    pub fn evict_for_accept(&self) -> bool {
        let evicted = self.0.entries.lock().evict_one(EvictionPriority::Reading);
        if let Some(entry) = &evicted {
            entry.cut_evicted();
        }
        evicted.is_some()
    }
}

impl Entries {
    /// Connections that may be evicted, with their order.
    fn candidates(
        &self,
    ) -> impl Iterator<Item = ((EvictionPriority, Instant), &Arc<ConnectionEntry>)> {
        let entries = self.open.values();
        entries.filter_map(|entry| Some((entry.eviction_order()?, entry)))
    }

    /// Whether there would be at most `limit` connections after evictions.
    pub fn fit_in(&self, limit: usize) -> bool {
        self.count() <= limit || self.count() - self.candidates().count() <= limit
    }

    /// Evicts the first candidate in order whose priority is at most `lowest`; its connection has
    /// still to be cut ([`ConnectionEntry::cut_evicted`]).
    pub fn evict_one(&mut self, lowest: EvictionPriority) -> Option<Arc<ConnectionEntry>> {
        let mut tried: Vec<*const ConnectionEntry> = Vec::new();
        for _ in 0..ATTEMPTS {
            let candidates = self.candidates().filter(|((priority, _), entry)| {
                *priority <= lowest && !tried.contains(&Arc::as_ptr(entry))
            });
            let (_, entry) = candidates.min_by_key(|(order, _)| *order)?;
            let entry = entry.clone();
            if entry.try_evict() {
                self.ending += 1;
                self.evicted += 1;
                return Some(entry);
            }
            tried.push(Arc::as_ptr(&entry));
        }
        None
    }
}
