//! Who is here: every open connection, how many there may be, and who leaves when room is
//! needed. `slot` holds what a connection has of it.

mod limit;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::outbox::Outbox;
use crate::presence::{Presence, Rank};
use crate::socket::Socket;

pub use limit::limit;
pub use slot::{Guest, Slot, Work};

/// Beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;
/// Descriptors for all that is not a connection: standard streams, listener, spares.
const OWN_FILES: u64 = 64;
/// Descriptors of a subscriber: its socket and its bell.
const FILES_PER_CONNECTION: u64 = 2;
/// So many are asked to leave before a newcomer is told that there is no room: one that is
/// asked may have begun a request just then.
const ATTEMPTS: usize = 8;

/// The number of the last connection in the log, whichever door it came in by.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// A handle on who is here; clones share it.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards who is here and the numbers. Nothing under it waits.
    guests: Mutex<Guests>,
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
struct Guests {
    present: HashMap<u64, Arc<Presence>>,
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

impl Guests {
    fn open(&self) -> usize {
        self.present.len() - self.leaving
    }

    /// Those who would lose little if they were asked to leave, with their turns.
    fn idle(&self) -> impl Iterator<Item = ((Rank, Instant), &Arc<Presence>)> {
        let guests = self.present.values();
        guests.filter_map(|guest| Some((guest.turn()?, guest)))
    }

    /// Asks the one to leave whose turn it is; has still to be shown out.
    fn dismiss_one(&mut self) -> Option<Arc<Presence>> {
        for _ in 0..ATTEMPTS {
            let (_, guest) = self.idle().min_by_key(|(turn, _)| *turn)?;
            if guest.dismiss() {
                let guest = guest.clone();
                self.leaving += 1;
                self.evicted += 1;
                return Some(guest);
            }
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
    pub fn admit(&self, socket: Socket) -> Slot {
        let presence = Arc::new(Presence::new(socket));
        let mut guests = self.0.guests.lock();
        guests.admitted += 1;
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        guests.present.insert(id, presence.clone());
        drop(guests);
        let connections = self.clone();
        Slot {
            id,
            guest: Guest {
                presence,
                connections,
            },
            is_subscriber: false,
        }
    }

    /// Whether another subscriber would be taken, if need be in the place of those who lose
    /// little. The one who asks is counted, and busy.
    pub fn has_room(&self) -> bool {
        let guests = self.0.guests.lock();
        let limit = self.limit();
        guests.open() <= limit || guests.open() - guests.idle().count() <= limit
    }

    /// Makes room for one who is here already and wants to stay; false if there is none.
    pub fn make_room(&self) -> bool {
        while self.has_room() {
            if self.0.guests.lock().open() <= self.limit() {
                return true;
            }
            if !self.make_place() {
                return false;
            }
        }
        false
    }

    /// Whether one more may be admitted.
    pub fn has_place(&self) -> bool {
        self.0.guests.lock().open() < self.most()
    }

    /// Asks the one to leave whose turn it is, so that one more may be admitted; false when it
    /// is nobody's.
    pub fn make_place(&self) -> bool {
        let dismissed = self.0.guests.lock().dismiss_one();
        dismissed.is_some_and(|guest| {
            guest.show_out();
            true
        })
    }

    /// Waits until one more may be admitted; false when `deadline` passes before.
    pub fn wait_for_place(&self, deadline: Instant) -> bool {
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
        outboxes.for_each(Outbox::ring);
    }

    /// The outbox of a WebSocket connection that is still here.
    pub fn outbox(&self, id: u64) -> Option<Outbox> {
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

    fn wait_until(&self, is_so: impl Fn(&Guests) -> bool, deadline: Instant) -> bool {
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
mod tests {
    use super::*;
    use crate::outbox::QueueTotal;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A connection and the peer of it.
    fn admit(connections: &Connections) -> (Slot, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (connections.admit(Socket::new(stream)), peer)
    }

    #[test]
    fn a_reserve_is_kept_beyond_the_limit() {
        let connections = Connections::new(2);
        let busy = |_| {
            let (slot, peer) = admit(&connections);
            let work = slot.guest().begin_work().unwrap();
            work.whole().unwrap();
            (work, slot, peer)
        };
        let mut slots: Vec<_> = (0..2).map(busy).collect();
        assert!(connections.has_room());
        slots.push(busy(2));
        assert!(!connections.has_room() && !connections.make_room());
        slots.extend((3..2 + RESERVE).map(busy));
        assert!(!connections.wait_for_place(Instant::now()));
        slots.pop();
        assert!(connections.wait_for_place(Instant::now()));
        slots.clear();
        assert!(connections.wait_for_end(Instant::now()));
    }

    #[test]
    fn the_limit_may_change_while_they_are_here() {
        let connections = Connections::new(1);
        let busy = |_| {
            let (slot, peer) = admit(&connections);
            let work = slot.guest().begin_work().unwrap();
            work.whole().unwrap();
            (work, slot, peer)
        };
        let slots: Vec<_> = (0..2).map(busy).collect();
        assert!(!connections.has_room());
        connections.set_limit(2);
        assert!(connections.has_room() && connections.make_room());
        connections.set_limit(1);
        assert!(!connections.make_room() && !connections.wait_for_end(Instant::now()));
        drop(slots);
    }

    #[test]
    fn who_is_idle_for_longest_makes_room() {
        let connections = Connections::new(2);
        let mut guests: Vec<_> = (0..3).map(|_| admit(&connections)).collect();
        let subscriber = guests[0].0.guest();
        assert!(guests[0].0.confirm());
        let idle = guests[1].0.guest();
        while idle.presence.turn() == guests[2].0.guest().presence.turn() {
            drop(idle.begin_work());
        }
        // The fresh one has waited longer than the one that was answered just now.
        let (newcomer, _peer) = admit(&connections);
        let work = newcomer.guest().begin_work().unwrap();
        work.whole().unwrap();
        assert!(connections.make_room() && idle.begin_work().is_none());
        assert!(guests[2].0.guest().begin_work().is_none());
        assert_eq!(guests[2].1.read(&mut [0; 1]).unwrap(), 0, "it is cut");
        assert!(!subscriber.presence.is_leaving());
        drop((work, guests));
        assert!(connections.has_room());
    }

    #[test]
    fn nobody_leaves_for_a_place_that_can_not_be_had() {
        let connections = Connections::new(1);
        let guests: Vec<_> = (0..3).map(|_| admit(&connections)).collect();
        let _busy: Vec<_> = guests[..2]
            .iter()
            .map(|(slot, _)| {
                let work = slot.guest().begin_work().unwrap();
                work.whole().map(|()| work)
            })
            .collect();
        assert!(!connections.has_room() && !connections.make_room());
        assert!(guests[2].0.guest().begin_work().is_some());
    }

    #[test]
    fn who_has_sent_something_just_now_stays() {
        let connections = Connections::new(1);
        let (slot, mut peer) = admit(&connections);
        let (newcomer, _peer) = admit(&connections);
        let work = newcomer.guest().begin_work().unwrap();
        work.whole().unwrap();
        peer.write_all(b"GET").unwrap();
        while !slot.guest().presence.has_input() {}
        assert!(!connections.make_room());
        assert!(slot.guest().begin_work().is_some());
    }

    #[test]
    fn subscribers_are_waited_for_by_themselves() {
        let connections = Connections::new(2);
        let (http, _browser) = admit(&connections);
        let (subscriber, _screen) = admit(&connections);
        let outbox = Outbox::new(
            subscriber.guest.presence.socket().clone(),
            1,
            QueueTotal::new(1),
        )
        .unwrap();
        let subscriber = subscriber.of_subscriber(outbox);
        assert!(!connections.wait_for_subscribers(Instant::now()));
        drop(subscriber);
        assert!(connections.wait_for_subscribers(Instant::now()));
        let work = http.guest().begin_work();
        assert!(!connections.wait_for_work(Instant::now()));
        drop(work);
        assert!(connections.wait_for_work(Instant::now()));
        assert!(!connections.wait_for_end(Instant::now()));
        drop(http);
        assert!(connections.wait_for_end(Instant::now()));
    }

    #[test]
    fn descriptors_are_shared_out() {
        assert_eq!(Connections::possible_with(20_000), 9_960);
        assert_eq!(Connections::possible_with(10), 1);
    }
}
