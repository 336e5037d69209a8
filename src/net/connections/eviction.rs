//! Eviction: the end of a connection whose place another needs.
//!
//! The connection that is first in the [order](super::order) goes. It is chosen under the table's
//! lock, and cut without it.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::Connections;
use super::order::{OVERDUE, Room};
use super::table::{Entries, Eviction, RESERVE};

/// How long a connection of which something is awaited is spared by the acceptor, when nothing but
/// such connections is left: its thread may not have run yet. Meanwhile, newcomers wait in the
/// kernel's backlog.
const GRACE: Duration = Duration::from_millis(100);

/// Most upgrades that wait for a place. They hold one of the reserve meanwhile, and can't be evicted.
const MAX_WAITING: usize = RESERVE / 2;

impl Connections {
    /// Makes room for the upgrade of an open connection; false if there is none.
    ///
    /// Waits for half a second, while nothing is idle, for those that are sending their request; unless
    /// many wait already.
    pub fn evict_for_upgrade(&self) -> bool {
        let deadline = Instant::now() + OVERDUE;
        let mut entries = self.0.entries.lock();
        loop {
            let limit = self.limit();
            if entries.count() <= limit {
                return true;
            }
            if !entries.fit_in(limit) {
                return false;
            }
            let is_patient = Instant::now() < deadline && entries.waiting < MAX_WAITING;
            let patience = if is_patient { OVERDUE } else { Duration::ZERO };
            let until = match entries.evict_one(patience) {
                Eviction::Evicted(entry) => {
                    MutexGuard::unlocked(&mut entries, || entry.cut_evicted());
                    continue;
                }
                Eviction::NotBefore(time) => time.min(deadline),
                Eviction::Impossible if is_patient => deadline,
                Eviction::Impossible => return false,
            };
            entries.waiting += 1;
            self.0.changed.wait_until(&mut entries, until);
            entries.waiting -= 1;
        }
    }

    /// Makes room for a connection that was accepted, if there is none.
    pub fn make_room(&self) -> Room {
        let is_free = |entries: &Entries| entries.count() < self.hard_limit();
        self.evict_until(is_free)
    }

    /// Evicts one connection, whose thread another connection needs.
    pub fn evict_for_thread(&self) -> Room {
        let evicted = self.0.entries.lock().evicted;
        self.evict_until(|entries| entries.evicted > evicted)
    }

    fn evict_until(&self, is_enough: impl Fn(&Entries) -> bool) -> Room {
        let mut entries = self.0.entries.lock();
        while !is_enough(&entries) {
            match entries.evict_one(GRACE) {
                Eviction::Evicted(entry) => {
                    MutexGuard::unlocked(&mut entries, || entry.cut_evicted());
                }
                Eviction::NotBefore(time) => return Room::Full(Some(time)),
                Eviction::Impossible => return Room::Full(None),
            }
        }
        Room::Free
    }
}
