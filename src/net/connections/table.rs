//! The table of open connections, and the counts that decide whether another may be opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::entry::ConnectionEntry;
use super::order::{Candidate, ConnState, EvictionOrder, Standing};

/// Connections beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;

/// What all handles on the table share.
#[derive(Debug)]
pub struct Table {
    /// Guards the entries and the counts. Nothing under it waits.
    pub entries: Mutex<Entries>,
    /// Notified whenever a connection ends, or may be evicted, or the limit changes.
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
    open: HashMap<u64, Slot>,
    order: EvictionOrder,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Entries in `open` that were evicted and have not ended yet; they no longer count.
    ending: usize,
    /// Connections evicted since the start.
    pub evicted: u64,
    /// Connections that were upgraded.
    pub upgraded: usize,
    /// Connections with a request under way.
    pub requests: usize,
    /// Upgrades that wait for a place.
    pub waiting: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<ConnectionEntry>,
    standing: Standing,
}

/// What became of an eviction.
#[derive(Debug)]
pub enum Eviction {
    /// This connection was evicted, and has still to be cut ([`ConnectionEntry::cut_evicted`]).
    Evicted(Arc<ConnectionEntry>),
    /// None may be evicted before this time.
    NotBefore(Instant),
    /// None may be evicted.
    Impossible,
}

impl Entries {
    /// Enters a connection that was accepted just now.
    pub fn insert(&mut self, id: u64, entry: Arc<ConnectionEntry>) {
        let standing = Standing {
            state: ConnState::New,
            since: Instant::now(),
            is_proven: false,
        };
        self.accepted += 1;
        self.order.insert(id, standing);
        self.open.insert(id, Slot { entry, standing });
    }

    /// Removes a connection that has ended.
    pub fn remove(&mut self, id: u64) {
        let Some(slot) = self.open.remove(&id) else {
            return;
        };
        if slot.entry.is_evicted() {
            self.ending -= 1;
        } else {
            self.order.remove(id, slot.standing);
        }
    }

    /// Says what a connection is doing from now on; false when it was evicted before.
    pub fn set(&mut self, id: u64, state: ConnState) -> bool {
        let since = Instant::now();
        let change = |old: Standing| Standing {
            state,
            since,
            ..old
        };
        self.change(id, change)
    }

    /// Says that a connection has broadcast with a good token.
    pub fn prove(&mut self, id: u64) {
        let change = |old: Standing| Standing {
            is_proven: true,
            ..old
        };
        self.change(id, change);
    }

    fn change(&mut self, id: u64, change: impl FnOnce(Standing) -> Standing) -> bool {
        let Some(slot) = self.open.get_mut(&id) else {
            return false;
        };
        if slot.entry.is_evicted() {
            return false;
        }
        self.order.remove(id, slot.standing);
        slot.standing = change(slot.standing);
        self.order.insert(id, slot.standing);
        true
    }

    /// A connection that is open.
    pub fn get(&self, id: u64) -> Option<&Arc<ConnectionEntry>> {
        self.open.get(&id).map(|slot| &slot.entry)
    }

    /// All connections, with those that were evicted and have not ended yet.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ConnectionEntry>> {
        self.open.values().map(|slot| &slot.entry)
    }

    /// Whether no connection is left.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Open connections.
    pub fn count(&self) -> usize {
        self.open.len() - self.ending
    }

    /// Whether there would be at most `limit` connections after evictions.
    pub fn fit_in(&self, limit: usize) -> bool {
        self.count() - self.order.len() <= limit
    }

    /// Evicts the connection that is first in the order; `patience` is for those of which something
    /// is awaited.
    pub fn evict_one(&mut self, patience: Duration) -> Eviction {
        let open = &self.open;
        let has_input = |id| open.get(&id).is_some_and(|slot| slot.entry.has_input());
        let first = self.order.first(Instant::now(), patience, has_input);
        let id = match first {
            Candidate::Now(id) => id,
            Candidate::NotBefore(time) => return Eviction::NotBefore(time),
            Candidate::Never => return Eviction::Impossible,
        };
        let Some(slot) = self.open.get(&id) else {
            return Eviction::Impossible;
        };
        self.order.remove(id, slot.standing);
        slot.entry.mark_evicted(slot.standing.state);
        self.ending += 1;
        self.evicted += 1;
        Eviction::Evicted(slot.entry.clone())
    }
}
