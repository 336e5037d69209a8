//! The table of open connections, and the counts that decide whether another may be opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::entry::{ConnectionEntry, EvictionPriority};

/// Connections beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;
/// Most candidates that one eviction tries: a candidate may have begun a request just then.
const ATTEMPTS: usize = 8;

/// What all handles on the table share.
#[derive(Debug)]
pub struct Table {
    /// Guards the entries and the counts. Nothing under it waits.
    pub entries: Mutex<Entries>,
    /// Notified whenever a connection or a request ends, or the limit changes.
    pub changed: Condvar,
    /// Most connections, without the reserve.
    pub limit: AtomicUsize,
    /// Connections beyond the limit, for plain HTTP.
    pub reserve: usize,
}

/// The open connections and their counts.
#[derive(Debug, Default)]
pub struct Entries {
    /// By the number of the connection.
    pub open: HashMap<u64, Arc<ConnectionEntry>>,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Entries in `open` that were evicted and have not ended yet; they no longer count.
    pub ending: usize,
    /// Connections evicted since the start.
    pub evicted: u64,
    /// Connections that were upgraded.
    pub upgraded: usize,
    /// Connections with a request under way.
    pub requests: usize,
}

impl Entries {
    /// Open connections.
    pub fn count(&self) -> usize {
        self.open.len() - self.ending
    }

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
