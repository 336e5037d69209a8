//! The open connections: how many there may be, what each is doing, and which is evicted when
//! another needs its place.
//!
//! [`Connections`] is the table as the server sees it, `table` its entries and counts. `order` is what
//! connections do, and in which order they are evicted; `eviction` evicts. `entry` is a connection as
//! other threads see it, `permit` its own part, which keeps its place in the table. `limit` is how
//! many there can be on this machine, by its limits of files and threads. `ip_limit` counts by IP address.

mod entry;
mod eviction;
mod file_limit;
mod ip_limit;
mod limit;
mod machine_limit;
mod order;
mod permit;
mod table;
mod thread_limit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

pub use entry::{ConnectionEntry, PushConnection};
pub use ip_limit::{IpPermit, OverIpLimit, PerIpLimit};
pub use limit::{limit, possible};
pub use machine_limit::Possible;
pub use order::Room;
pub use permit::{ConnectionPermit, RequestGuard};
pub use table::RESERVE;

use crate::net::socket::Socket;
use table::{Entries, Table};

/// The number that the last accepted connection has in the log, on either listener.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// A handle on the table of connections; clones share it.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Table>);

/// How many connections there are, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Occupancy {
    /// Open connections.
    pub open: usize,
    /// Most open connections, without the reserve.
    pub limit: usize,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections evicted since the start.
    pub evicted: u64,
}

impl Connections {
    /// An empty table for `limit` connections, and [`RESERVE`] more for plain HTTP.
    pub fn new(limit: usize) -> Connections {
        Connections::with(limit, RESERVE)
    }

    /// Like [`Connections::new`], without a reserve.
    pub fn without_reserve(limit: usize) -> Connections {
        Connections::with(limit, 0)
    }

    fn with(limit: usize, reserve: usize) -> Connections {
        Connections(Arc::new(Table {
            entries: Mutex::default(),
            changed: Condvar::new(),
            limit: AtomicUsize::new(limit),
            reserve,
        }))
    }

    /// Changes the limit. Open connections stay.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
        self.0.changed.notify_all(); // another may be accepted now
    }

    fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// The limit with the reserve.
    fn hard_limit(&self) -> usize {
        self.limit().saturating_add(self.0.reserve)
    }

    /// Enters a connection in the table for as long as the permit lives.
    pub fn register(&self, socket: Socket) -> ConnectionPermit {
        let entry = Arc::new(ConnectionEntry::new(socket));
        let mut entries = self.0.entries.lock();
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        entries.insert(id, entry.clone());
        drop(entries);
        ConnectionPermit::new(id, entry, self.0.clone())
    }

    /// The entry of a connection that is still open.
    pub fn find(&self, id: u64) -> Option<Arc<ConnectionEntry>> {
        self.0.entries.lock().get(id).cloned()
    }

    /// Whether another connection may be upgraded, if need be after an eviction. The asking
    /// connection counts itself, and can't be evicted.
    pub fn can_upgrade(&self) -> bool {
        self.0.entries.lock().fit_in(self.limit())
    }

    /// Waits until another connection may be accepted; false when `deadline` passes before.
    pub fn wait_until_can_accept(&self, deadline: Instant) -> bool {
        self.wait_until(|entries| entries.count() < self.hard_limit(), deadline)
    }

    /// Counts and limit at this moment.
    pub fn occupancy(&self) -> Occupancy {
        let entries = self.0.entries.lock();
        Occupancy {
            open: entries.count(),
            limit: self.limit(),
            accepted: entries.accepted,
            evicted: entries.evicted,
        }
    }

    /// Wakes the threads of all upgraded connections, so that they see the shutdown.
    pub fn wake_upgraded(&self) {
        let entries = self.0.entries.lock();
        let upgraded = entries.all().filter_map(|entry| entry.push());
        upgraded.for_each(PushConnection::wake);
    }

    /// Waits until no upgraded connection is left; false when `deadline` passes before.
    pub fn wait_for_upgraded(&self, deadline: Instant) -> bool {
        self.wait_until(|entries| entries.upgraded == 0, deadline)
    }

    /// Waits until no upgraded connection is left and no request is under way; false when
    /// `deadline` passes before. Idle connections may be left.
    pub fn wait_for_requests(&self, deadline: Instant) -> bool {
        self.wait_until(|entries| entries.upgraded + entries.requests == 0, deadline)
    }

    /// Waits until no connection is left; false when `deadline` passes before.
    pub fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait_until(|entries| entries.is_empty(), deadline)
    }

    fn wait_until(&self, is_so: impl Fn(&Entries) -> bool, deadline: Instant) -> bool {
        let mut entries = self.0.entries.lock();
        while !is_so(&entries) {
            let waited = self.0.changed.wait_until(&mut entries, deadline);
            if waited.timed_out() {
                return is_so(&entries);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
