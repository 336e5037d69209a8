//! Scenarios of the hub: a subscriber receives every broadcast after its confirmation, all receive
//! them in the same order, and the counts end exact.

use bytes::{Bytes, BytesMut};

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{QueueBudget, SendQueue};
use bifrost_model::hub::{Hub, Message, Stats, Subscriptions};
use bifrost_model::net::socket::{Peer, connect};

/// The form in which the subscribers' transport sends messages.
fn plain(message: &Message, into: &mut BytesMut) {
    into.extend_from_slice(&message.payload);
}

/// Larger than all that a scenario sends.
const WIDE: usize = 100_000;

fn connect_subscriber(hub: &Hub) -> (Subscriptions, Peer) {
    let (socket, peer) = connect(WIDE);
    let queue = SendQueue::new(socket, WIDE, QueueBudget::new(WIDE), Bytes::new()).unwrap();
    (hub.connect(queue, plain), peer)
}

/// Connects a subscriber that joins a channel, with `.` as the confirmation.
fn join(hub: &Hub, channel: &str) -> (Subscriptions, Peer) {
    let (mut subscriptions, peer) = connect_subscriber(hub);
    subscriptions.join(channel, &Bytes::from_static(b"."));
    (subscriptions, peer)
}

fn broadcast(hub: &Hub, channel: &str, text: &'static str) -> usize {
    hub.broadcast(channel, Bytes::from_static(text.as_bytes()))
}

/// Starts a thread that uses the hub.
fn spawn<T: Send + 'static>(
    hub: &Hub,
    work: impl FnOnce(Hub) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let hub = hub.clone();
    thread::spawn(move || work(hub))
}

fn text(peer: &Peer) -> String {
    String::from_utf8(peer.seen()).unwrap()
}

/// Asserts that no subscriber is left, and the deliveries; every message here has one byte.
fn assert_empty(hub: &Hub, deliveries: u64) {
    let nothing = Stats {
        deliveries,
        delivered_bytes: deliveries,
        connected: 0,
        channels: 0,
        subscriptions: 0,
    };
    assert_eq!(hub.stats(), nothing);
}

#[test]
fn join_while_the_last_subscriber_leaves_is_not_lost() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let (bob, _peer) = join(&hub, "x");
        let leaving = thread::spawn(move || drop(bob));
        let (alice, peer) = join(&hub, "x");
        leaving.join().unwrap();
        assert_eq!(broadcast(&hub, "x", "!"), 1);
        assert_eq!(text(&peer), ".!");
        let stats = hub.stats();
        assert_eq!((stats.channels, stats.subscriptions), (1, 1));
        drop(alice);
        assert_empty(&hub, 1);
    });
}

#[test]
fn two_concurrent_joins_of_a_new_channel_share_it() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let other = spawn(&hub, |hub| join(&hub, "x"));
        let (alice, alices) = join(&hub, "x");
        let (bob, bobs) = other.join().unwrap();
        assert_eq!(broadcast(&hub, "x", "!"), 2);
        assert_eq!((text(&alices), text(&bobs)), (".!".into(), ".!".into()));
        drop((alice, bob));
        assert_empty(&hub, 2);
    });
}

#[test]
fn two_concurrent_leaves_remove_the_channel() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let (alice, _alices) = join(&hub, "x");
        let (bob, _bobs) = join(&hub, "x");
        let leaving = thread::spawn(move || drop(bob));
        drop(alice);
        leaving.join().unwrap();
        assert_empty(&hub, 0);
    });
}

#[test]
fn broadcast_never_arrives_before_the_confirmation() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let other = spawn(&hub, |hub| broadcast(&hub, "x", "!"));
        let (alice, peer) = join(&hub, "x");
        let delivered = other.join().unwrap();
        assert_eq!(text(&peer), [".", ".!"][delivered]);
        drop(alice);
        assert_empty(&hub, delivered as u64);
    });
}

#[test]
fn subscriber_that_leaves_during_a_broadcast_is_counted_if_it_received_it() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let (alice, alices) = join(&hub, "x");
        let (bob, bobs) = join(&hub, "x");
        let leaving = thread::spawn(move || drop(bob));
        let delivered = broadcast(&hub, "x", "!");
        leaving.join().unwrap();
        assert_eq!(text(&alices), ".!");
        assert_eq!(text(&bobs), [".", ".!"][delivered - 1]);
        drop(alice);
        assert_empty(&hub, delivered as u64);
    });
}

#[test]
fn two_broadcasts_reach_all_subscribers_in_one_order() {
    explore(Preemptions::Any, || {
        let hub = Hub::default();
        let (alice, alices) = join(&hub, "x");
        let (bob, bobs) = join(&hub, "x");
        let other = spawn(&hub, |hub| broadcast(&hub, "x", "2"));
        assert_eq!(broadcast(&hub, "x", "1"), 2);
        assert_eq!(other.join().unwrap(), 2);
        assert_eq!(text(&alices), text(&bobs));
        assert!(
            [".12", ".21"].contains(&&*text(&alices)),
            "{}",
            text(&alices)
        );
        drop((alice, bob));
        assert_empty(&hub, 4);
    });
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn three_publishers_reach_all_subscribers_in_one_order() {
        explore_many(5_000, || {
            let hub = Hub::default();
            let subscribers = [join(&hub, "x"), join(&hub, "x")];
            let publishers = [["a", "b"], ["c", "d"], ["e", "f"]].map(|texts| {
                spawn(&hub, move |hub| {
                    for text in texts {
                        assert_eq!(broadcast(&hub, "x", text), 2);
                    }
                })
            });
            for publisher in publishers {
                publisher.join().unwrap();
            }
            let [first, second] = [text(&subscribers[0].1), text(&subscribers[1].1)];
            assert_eq!(first, second);
            for pair in ["ab", "cd", "ef"] {
                let places = pair.chars().map(|c| first.find(c));
                assert!(places.is_sorted(), "{first}");
            }
            assert_eq!(first.len(), 7, "{first}");
            drop(subscribers);
            assert_empty(&hub, 12);
        });
    }

    #[test]
    fn subscribers_that_join_and_leave_receive_what_follows_and_leave_exact_counts() {
        explore_many(5_000, || {
            let hub = Hub::default();
            let clients = ["1", "2", "3"].map(|own| {
                spawn(&hub, move |hub| {
                    let (mut subscriptions, peer) = connect_subscriber(&hub);
                    let mut delivered = 0;
                    for channel in ["x", "y"] {
                        subscriptions.join(channel, &Bytes::from_static(b"."));
                        let count = broadcast(&hub, channel, own);
                        assert!(count >= 1, "its own broadcast did not reach it");
                        delivered += count;
                    }
                    subscriptions.join("x", &Bytes::from_static(b"."));
                    drop(subscriptions);
                    let seen = text(&peer);
                    assert_eq!(seen.matches(own).count(), 2, "{seen}");
                    assert_eq!(seen.matches('.').count(), 3, "{seen}");
                    (delivered, seen.len() - 3)
                })
            });
            let (mut delivered, mut seen) = (0, 0);
            for client in clients {
                let counts = client.join().unwrap();
                delivered += counts.0;
                seen += counts.1;
            }
            assert_eq!(delivered, seen);
            assert_empty(&hub, delivered as u64);
        });
    }

    #[test]
    fn broadcast_during_joins_and_leaves_counts_its_deliveries() {
        explore_many(5_000, || {
            let hub = Hub::default();
            let (bob, bobs) = join(&hub, "x");
            let leaving = thread::spawn(move || drop(bob));
            let joining = spawn(&hub, |hub| join(&hub, "x"));
            let other = spawn(&hub, |hub| broadcast(&hub, "x", "2"));
            let delivered = broadcast(&hub, "x", "1") + other.join().unwrap();
            leaving.join().unwrap();
            let (alice, alices) = joining.join().unwrap();
            let got = |peer: &Peer| text(peer).len() - 1;
            assert_eq!(delivered, got(&bobs) + got(&alices));
            assert!(text(&alices).starts_with('.'));
            drop(alice);
            assert_empty(&hub, delivered as u64);
        });
    }
}
