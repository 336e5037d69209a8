//! Who is here: every open connection, how many there may be, and who leaves when room is
//! needed. `slot` holds what a connection has of it.

pub mod entry;
mod file_limit;
pub mod ip_limit;
mod permit;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::hub::queue::SendQueue;
use crate::net::connections::entry::{ConnectionEntry, EvictionPriority};
use crate::net::socket::Socket;

pub use file_limit::limit;
pub use permit::{ConnectionHandle, ConnectionPermit, RequestGuard};

/// Beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;
/// Descriptors for all that is not a connection: standard streams, listener, spares.
const OWN_FILES: u64 = 64;
/// Descriptors of a subscriber: its socket and its bell.
const FILES_PER_CONNECTION: u64 = 2;
/// So many are asked to leave before a newcomer is told that there is no room: one that is
/// asked may have begun a request just then.
const ATTEMPTS: usize = 8;
/// How long an upgrade waits for somebody to become idle before a request that is arriving has
/// to make room.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it looks meanwhile: not all that changes is told.
const RECHECK: Duration = Duration::from_millis(10);

/// The number of the last connection in the log, whichever door it came in by.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// A handle on who is here; clones share it.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards who is here and the numbers. Nothing under it waits.
    guests: Mutex<Entries>,
    /// Told whenever a connection or a request ends.
    one_ended: Condvar,
    limit: AtomicUsize,
    reserve: usize,
}

/// How many there are, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Occupancy {
    /// Open connections.
    pub open: usize,
    /// How many may be open, without the reserve.
    pub limit: usize,
    /// Those that were accepted since the start.
    pub admitted: u64,
    /// Those of them that were asked to leave so that somebody else had room.
    pub evicted: u64,
}

#[derive(Debug, Default)]
struct Entries {
    present: HashMap<u64, Arc<ConnectionEntry>>,
    /// So many have come since the start.
    admitted: u64,
    /// Those of them that were asked to leave, and no longer count.
    leaving: usize,
    /// So many were asked to leave since the start.
    evicted: u64,
    subscribers: usize,
    /// Those with a request under way.
    at_work: usize,
}

impl Entries {
    fn open(&self) -> usize {
        self.present.len() - self.leaving
    }

    /// Those who would lose little if they were asked to leave, with their turns.
    fn idle(&self) -> impl Iterator<Item = ((EvictionPriority, Instant), &Arc<ConnectionEntry>)> {
        let guests = self.present.values();
        guests.filter_map(|guest| Some((guest.turn()?, guest)))
    }

    /// Whether there would be no more than so many without those.
    fn can_upgrade(&self, limit: usize) -> bool {
        self.open() <= limit || self.open() - self.idle().count() <= limit
    }

    /// Asks the one to leave whose turn it is, if its rank is at most this one; has still to be
    /// shown out.
    fn evict_one(&mut self, most: EvictionPriority) -> Option<Arc<ConnectionEntry>> {
        let mut stays: Vec<*const ConnectionEntry> = Vec::new();
        for _ in 0..ATTEMPTS {
            let candidates = self
                .idle()
                .filter(|((rank, _), guest)| *rank <= most && !stays.contains(&Arc::as_ptr(guest)));
            let (_, guest) = candidates.min_by_key(|(turn, _)| *turn)?;
            let guest = guest.clone();
            if guest.try_evict() {
                self.leaving += 1;
                self.evicted += 1;
                return Some(guest);
            }
            stays.push(Arc::as_ptr(&guest));
        }
        None
    }
}

impl Connections {
    /// Nobody is here yet; `limit` may come, and [`RESERVE`] more for plain HTTP.
    pub fn new(limit: usize) -> Connections {
        Connections::with(limit, RESERVE)
    }

    fn with(limit: usize, reserve: usize) -> Connections {
        Connections(Arc::new(Shared {
            guests: Mutex::default(),
            one_ended: Condvar::new(),
            limit: AtomicUsize::new(limit),
            reserve,
        }))
    }

    /// Like [`Connections::new`], without a reserve.
    pub fn without_reserve(limit: usize) -> Connections {
        Connections::with(limit, 0)
    }

    /// Changes how many may come. Who is here stays.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
        self.0.one_ended.notify_all(); // there may be a place now
    }

    fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// How many there can be with so many descriptors.
    pub fn possible_with(files: u64) -> usize {
        let for_subscribers = files.saturating_sub(OWN_FILES + RESERVE as u64);
        usize::try_from(for_subscribers / FILES_PER_CONNECTION)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Counts a connection for as long as the slot lives.
    pub fn admit(&self, socket: Socket) -> ConnectionPermit {
        let presence = Arc::new(ConnectionEntry::new(socket));
        let mut guests = self.0.guests.lock();
        guests.admitted += 1;
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        guests.present.insert(id, presence.clone());
        drop(guests);
        let connections = self.clone();
        ConnectionPermit {
            id,
            guest: ConnectionHandle {
                presence,
                connections,
            },
            is_subscriber: false,
        }
    }

    /// Whether another subscriber would be taken, if need be in the place of those who lose
    /// little. The one who asks is counted, and busy.
    pub fn can_upgrade(&self) -> bool {
        self.0.guests.lock().can_upgrade(self.limit())
    }

    /// Makes room for one who is here already and wants to stay; false if there is none.
    ///
    /// Only when for a while nobody is idle, not even of those who are being answered, does
    /// somebody leave whose request is arriving.
    pub fn evict_for_upgrade(&self) -> bool {
        let patience = Instant::now() + PATIENCE;
        let mut guests = self.0.guests.lock();
        loop {
            let limit = self.limit();
            if guests.open() <= limit {
                return true;
            }
            if !guests.can_upgrade(limit) {
                return false;
            }
            let most = match Instant::now() < patience {
                true => EvictionPriority::Idle,
                false => EvictionPriority::Arriving,
            };
            match guests.evict_one(most) {
                Some(guest) => MutexGuard::unlocked(&mut guests, || guest.close_evicted()),
                None if most == EvictionPriority::Arriving => return false,
                None => drop(self.0.one_ended.wait_for(&mut guests, RECHECK)),
            }
        }
    }

    /// Whether one more may be admitted.
    pub fn can_accept(&self) -> bool {
        self.0.guests.lock().open() < self.most()
    }

    /// Asks the one to leave whose turn it is, so that one more may be admitted; false when it
    /// is nobody's.
    pub fn evict_for_accept(&self) -> bool {
        let dismissed = self.0.guests.lock().evict_one(EvictionPriority::Arriving);
        dismissed.is_some_and(|guest| {
            guest.close_evicted();
            true
        })
    }

    /// Waits until one more may be admitted; false when `deadline` passes before.
    pub fn wait_until_can_accept(&self, deadline: Instant) -> bool {
        self.wait_until(|guests| guests.open() < self.most(), deadline)
    }

    /// How many there are at this moment.
    pub fn occupancy(&self) -> Occupancy {
        let guests = self.0.guests.lock();
        Occupancy {
            open: guests.open(),
            limit: self.limit(),
            admitted: guests.admitted,
            evicted: guests.evicted,
        }
    }

    fn most(&self) -> usize {
        self.limit().saturating_add(self.0.reserve)
    }

    /// Wakes every WebSocket's thread, so that it sees that the server stops.
    pub fn ring_all(&self) {
        let guests = self.0.guests.lock();
        let outboxes = guests.present.values().filter_map(|guest| guest.outbox());
        outboxes.for_each(SendQueue::ring);
    }

    /// The outbox of a WebSocket connection that is still here.
    pub fn outbox(&self, id: u64) -> Option<SendQueue> {
        self.0.guests.lock().present.get(&id)?.outbox().cloned()
    }

    /// Waits until no subscriber is left; false when `deadline` passes before.
    pub fn wait_for_subscribers(&self, deadline: Instant) -> bool {
        self.wait_until(|guests| guests.subscribers == 0, deadline)
    }

    /// Waits until no subscriber is left and no request is under way; false when `deadline`
    /// passes before. Who is only here for a next request may still be.
    pub fn wait_for_work(&self, deadline: Instant) -> bool {
        self.wait_until(|guests| guests.subscribers + guests.at_work == 0, deadline)
    }

    /// Waits until nobody is left; false when `deadline` passes before.
    pub fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait_until(|guests| guests.present.is_empty(), deadline)
    }

    fn wait_until(&self, is_so: impl Fn(&Entries) -> bool, deadline: Instant) -> bool {
        let mut guests = self.0.guests.lock();
        while !is_so(&guests) {
            let waited = self.0.one_ended.wait_until(&mut guests, deadline);
            if waited.timed_out() {
                return is_so(&guests);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
