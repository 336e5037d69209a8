//! Who listens to what: channels, the outboxes subscribed to each, and the counts.
//!
//! Two kinds of locks. One guards the map and is held to find a channel; one per channel
//! guards its subscribers, and is held for a fan-out. They are never held together but in
//! the order channel, map. Broadcasts to one channel go one after the other through its line,
//! so all subscribers see one order. It knows no HTTP, JSON or JWT.

pub mod batch;
pub mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::hub::batch::Batcher;
use crate::hub::queue::{Push, SendQueue};
use crate::net::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// So many outboxes are fetched from memory together. Fewer than the processor has ways to
/// wait for memory, and their lines are still in its nearest cache when they are written.
const LOT: usize = 8;

/// A handle on the registry; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Guards which channels there are. Held to find, add or remove one.
    channels: Mutex<HashMap<Arc<str>, Arc<Channel>>>,
    deliveries: AtomicU64,
    delivered_bytes: AtomicU64,
    connected: AtomicUsize,
    subscriptions: AtomicUsize,
}

#[derive(Debug)]
struct Channel {
    name: Arc<str>,
    /// Where broadcasts meet; gives them one order.
    line: Batcher,
    /// Guards the list of subscribers. Held for a fan-out: pushes under it never wait.
    members: Mutex<SubscriberList>,
}

/// The subscribers of a channel in the order in which they came.
///
/// Tickets only grow, so the list is sorted by them and leaving is a binary search. A
/// place that was left stays empty until half of them are.
#[derive(Debug, Default)]
struct SubscriberList {
    places: Vec<Place>,
    taken: usize,
    next_ticket: u64,
    /// The channel has left the map, and nobody may join it any more.
    is_retired: bool,
}

#[derive(Debug)]
struct Place {
    ticket: u64,
    outbox: Option<SendQueue>,
}

/// Counts since the start and of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages handed to subscribers by broadcasts since the start.
    pub deliveries: u64,
    /// The bytes of those: of each frame, header included, times its deliveries.
    pub delivered_bytes: u64,
    /// Seats, which is open WebSocket connections.
    pub connected: usize,
    /// Channels with at least one subscriber.
    pub channels: usize,
    /// Pairs of a seat and a channel that it holds.
    pub subscriptions: usize,
}

impl Hub {
    /// A seat for one connection, with no channels yet.
    pub fn seat(&self, outbox: SendQueue) -> Subscriptions {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
        Subscriptions {
            registry: self.clone(),
            outbox,
            held: Vec::new(),
        }
    }

    /// Hands a frame to every subscriber of a channel; tells how many took it.
    pub fn broadcast(&self, channel: &str, frame: &Bytes) -> usize {
        let Some(channel) = self.find(channel) else {
            return 0;
        };
        let delivered = channel
            .line
            .send(frame, |frames| channel.members.lock().fan_out(frames));
        self.0
            .deliveries
            .fetch_add(delivered as u64, Ordering::Relaxed);
        self.0
            .delivered_bytes
            .fetch_add((delivered * frame.len()) as u64, Ordering::Relaxed);
        delivered
    }

    /// The counts of this moment.
    pub fn stats(&self) -> Stats {
        Stats {
            deliveries: self.0.deliveries.load(Ordering::Relaxed),
            delivered_bytes: self.0.delivered_bytes.load(Ordering::Relaxed),
            connected: self.0.connected.load(Ordering::Relaxed),
            channels: self.0.channels.lock().len(),
            subscriptions: self.0.subscriptions.load(Ordering::Relaxed),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Channel>> {
        self.0.channels.lock().get(name).cloned()
    }

    fn find_or_create(&self, name: &str) -> Arc<Channel> {
        let mut channels = self.0.channels.lock();
        if let Some(channel) = channels.get(name) {
            return channel.clone();
        }
        let name: Arc<str> = name.into();
        let channel = Arc::new(Channel {
            name: name.clone(),
            line: Batcher::default(),
            members: Mutex::default(),
        });
        channels.insert(name, channel.clone());
        channel
    }
}

impl Channel {
    /// Adds a subscriber behind its confirmation, so that every later broadcast follows it.
    /// Nothing if the channel has left the map meanwhile.
    fn admit(&self, outbox: &SendQueue, confirmation: &Bytes) -> Option<u64> {
        let mut members = self.members.lock();
        if members.is_retired {
            return None;
        }
        let _ = outbox.push(confirmation); // refused: the connection is ending, and will leave
        Some(members.join(outbox.clone()))
    }
}

impl SubscriberList {
    /// Hands over one frame, or several behind one another.
    fn fan_out(&self, frames: &Bytes) -> usize {
        let of_lot = |lot: &[Place]| {
            let outboxes = || lot.iter().filter_map(|place| place.outbox.as_ref());
            if lot.len() > 1 {
                outboxes().for_each(SendQueue::fetch);
            }
            outboxes()
                .filter(|outbox| outbox.push(frames) == Push::Accepted)
                .count()
        };
        self.places.chunks(LOT).map(of_lot).sum()
    }

    fn join(&mut self, outbox: SendQueue) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.places.push(Place {
            ticket,
            outbox: Some(outbox),
        });
        self.taken += 1;
        ticket
    }

    /// Gives a place back; retires the channel with its last subscriber.
    fn leave(&mut self, ticket: u64) {
        if let Ok(place) = self
            .places
            .binary_search_by_key(&ticket, |place| place.ticket)
        {
            self.places[place].outbox = None;
            self.taken -= 1;
        }
        if self.places.len() >= 2 * self.taken {
            self.places.retain(|place| place.outbox.is_some());
            self.places.shrink_to(2 * self.taken);
        }
        self.is_retired = self.taken == 0;
    }
}

/// One connection's place in the registry. Dropping it leaves every channel.
#[derive(Debug)]
pub struct Subscriptions {
    registry: Hub,
    outbox: SendQueue,
    held: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    channel: Arc<Channel>,
    ticket: u64,
}

impl Subscriptions {
    /// Whether the seat is subscribed to a channel.
    pub fn holds(&self, channel: &str) -> bool {
        self.held.iter().any(|held| &*held.channel.name == channel)
    }

    /// How many channels the seat is subscribed to.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Subscribes to a channel and pushes the confirmation; from then on every broadcast
    /// follows it. A channel that is held already is confirmed again, and still held once.
    pub fn join(&mut self, name: &str, confirmation: &Bytes) {
        if self.holds(name) {
            let _ = self.outbox.push(confirmation); // refused: the connection is ending
            return;
        }
        // Before the client hears of it: who was told is counted.
        self.registry
            .0
            .subscriptions
            .fetch_add(1, Ordering::Relaxed);
        loop {
            let channel = self.registry.find_or_create(name);
            if let Some(ticket) = channel.admit(&self.outbox, confirmation) {
                self.held.push(Subscription { channel, ticket });
                return;
            }
        }
    }

    fn leave(&self, subscription: &Subscription) {
        let channel = &subscription.channel;
        let mut members = channel.members.lock();
        members.leave(subscription.ticket);
        if members.is_retired {
            // Under the channel's lock, so that who meets it retired finds the map without it.
            self.registry.0.channels.lock().remove(&channel.name);
        }
        drop(members);
        self.registry
            .0
            .subscriptions
            .fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for subscription in &self.held {
            self.leave(subscription);
        }
        self.registry.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::queue::QueueBudget;
    use crate::net::socket::Socket;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    fn pair(registry: &Hub) -> (Subscriptions, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (
            registry.seat(
                SendQueue::new(Socket::new(stream), 1 << 20, QueueBudget::new(1 << 20)).unwrap(),
            ),
            peer,
        )
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn counts(registry: &Hub) -> (usize, usize, usize) {
        let stats = registry.stats();
        (stats.connected, stats.channels, stats.subscriptions)
    }

    #[test]
    fn a_broadcast_reaches_who_joined_and_follows_the_confirmation() {
        let registry = Hub::default();
        let (mut alice, mut screen) = pair(&registry);
        let (_bob, _) = pair(&registry);
        alice.join("news", &bytes("ok:"));
        assert_eq!(registry.broadcast("news", &bytes("hi")), 1);
        assert_eq!(registry.broadcast("other", &bytes("no")), 0);
        drop(alice);
        let mut seen = String::new();
        screen.read_to_string(&mut seen).unwrap();
        let stats = registry.stats();
        assert_eq!((stats.deliveries, stats.delivered_bytes), (1, 2));
        assert_eq!(seen, "ok:hi");
    }

    #[test]
    fn a_channel_is_held_once_and_leaves_with_its_last_subscriber() {
        let registry = Hub::default();
        let (mut alice, _a) = pair(&registry);
        let (mut bob, _b) = pair(&registry);
        for name in ["x", "y", "x"] {
            alice.join(name, &bytes("."));
        }
        bob.join("x", &bytes("."));
        assert_eq!((counts(&registry), alice.held()), ((2, 2, 3), 2));
        drop(alice);
        assert_eq!(counts(&registry), (1, 1, 1));
        assert_eq!(registry.broadcast("x", &bytes("hi")), 1);
        drop(bob);
        assert_eq!(counts(&registry), (0, 0, 0));
    }

    #[test]
    fn places_that_were_left_are_used_up() {
        let mut members = SubscriberList::default();
        let registry = Hub::default();
        let (seat, _peer) = pair(&registry);
        let tickets: Vec<_> = (0..100)
            .map(|_| members.join(seat.outbox.clone()))
            .collect();
        for ticket in &tickets[..99] {
            members.leave(*ticket);
        }
        assert!(members.places.len() <= 2 && members.places.capacity() < 10);
        assert!(!members.is_retired);
        members.leave(tickets[99]);
        assert!(members.is_retired);
    }

    #[test]
    fn counts_end_exact_when_many_come_and_go_at_once() {
        let registry = Hub::default();
        let visitors: Vec<_> = (0..8)
            .map(|_| {
                let registry = registry.clone();
                thread::spawn(move || {
                    for _ in 0..50 {
                        let (mut seat, _peer) = pair(&registry);
                        for name in ["a", "b", "c"] {
                            seat.join(name, &bytes("."));
                            assert!(registry.broadcast(name, &bytes("!")) >= 1);
                        }
                    }
                })
            })
            .collect();
        for visitor in visitors {
            visitor.join().unwrap();
        }
        assert_eq!(counts(&registry), (0, 0, 0));
    }
}
