//! How many connections are open, and how many may be.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;
/// Descriptors for all that is not a connection: standard streams, listener, spares.
const OWN_FILES: u64 = 64;
/// Descriptors of a subscriber: its socket and its bell.
const FILES_PER_CONNECTION: u64 = 2;

/// A handle on the count; clones share it.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards the numbers.
    count: Mutex<Count>,
    /// Told whenever a connection or a request ends.
    one_ended: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct Count {
    open: usize,
    /// Those of them that are subscribers.
    subscribers: usize,
    /// Those of them with a request under way.
    at_work: usize,
}

impl Connections {
    /// Nobody is here yet; `limit` may come, and [`RESERVE`] more for plain HTTP.
    pub fn new(limit: usize) -> Connections {
        let shared = Shared {
            count: Mutex::default(),
            one_ended: Condvar::new(),
            limit,
        };
        Connections(Arc::new(shared))
    }

    /// How many there can be with so many descriptors.
    pub fn possible_with(files: u64) -> usize {
        let for_subscribers = files.saturating_sub(OWN_FILES + RESERVE as u64);
        usize::try_from(for_subscribers / FILES_PER_CONNECTION)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Counts a connection for as long as the slot lives.
    pub fn admit(&self) -> Slot {
        self.0.count.lock().open += 1;
        Slot {
            connections: self.clone(),
            is_subscriber: false,
        }
    }

    /// Whether the limit is passed, so that only plain HTTP is served.
    pub fn is_full(&self) -> bool {
        self.0.count.lock().open > self.0.limit
    }

    /// Waits until one more may be admitted; false when `deadline` passes before.
    pub fn wait_for_room(&self, deadline: Instant) -> bool {
        let most = self.0.limit.saturating_add(RESERVE);
        self.wait_until(|count| count.open < most, deadline)
    }

    /// Counts a request as under way for as long as the guard lives.
    pub fn work(&self) -> Work {
        self.0.count.lock().at_work += 1;
        Work(self.clone())
    }

    /// Waits until no subscriber is left; false when `deadline` passes before.
    pub fn wait_for_subscribers(&self, deadline: Instant) -> bool {
        self.wait_until(|count| count.subscribers == 0, deadline)
    }

    /// Waits until no subscriber is left and no request is under way; false when `deadline`
    /// passes before. Who is only here for a next request may still be.
    pub fn wait_for_work(&self, deadline: Instant) -> bool {
        self.wait_until(|count| count.subscribers + count.at_work == 0, deadline)
    }

    /// Waits until nobody is left; false when `deadline` passes before.
    pub fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait_until(|count| count.open == 0, deadline)
    }

    fn wait_until(&self, is_so: impl Fn(&Count) -> bool, deadline: Instant) -> bool {
        let mut count = self.0.count.lock();
        while !is_so(&count) {
            if self
                .0
                .one_ended
                .wait_until(&mut count, deadline)
                .timed_out()
            {
                return is_so(&count);
            }
        }
        true
    }
}

/// An open connection's part in the count.
#[derive(Debug)]
pub struct Slot {
    connections: Connections,
    is_subscriber: bool,
}

impl Slot {
    /// The same connection, counted as a subscriber from here on.
    #[must_use]
    pub fn of_subscriber(mut self) -> Slot {
        self.connections.0.count.lock().subscribers += 1;
        self.is_subscriber = true;
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut count = self.connections.0.count.lock();
        count.open -= 1;
        count.subscribers -= usize::from(self.is_subscriber);
        drop(count);
        self.connections.0.one_ended.notify_all();
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct Work(Connections);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.count.lock().at_work -= 1;
        self.0.0.one_ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_beyond_the_limit() {
        let connections = Connections::new(2);
        let mut slots: Vec<Slot> = (0..2).map(|_| connections.admit()).collect();
        assert!(!connections.is_full());
        slots.push(connections.admit());
        assert!(connections.is_full());
        slots.extend((3..2 + RESERVE).map(|_| connections.admit()));
        assert!(!connections.wait_for_room(Instant::now()));
        slots.pop();
        assert!(connections.wait_for_room(Instant::now()));
        slots.clear();
        assert!(connections.wait_for_end(Instant::now()));
    }

    #[test]
    fn subscribers_are_waited_for_by_themselves() {
        let connections = Connections::new(2);
        let (http, subscriber) = (connections.admit(), connections.admit().of_subscriber());
        assert!(!connections.wait_for_subscribers(Instant::now()));
        drop(subscriber);
        assert!(connections.wait_for_subscribers(Instant::now()));
        let work = connections.work();
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
