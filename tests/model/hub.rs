//! Scenes of the registry: who joins gets all that follows, in the order that all see, and
//! the counts end exact.

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::queue::{QueueBudget, SendQueue};
use bifrost_model::hub::{Hub, Stats, Subscriptions};
use bifrost_model::net::socket::{Peer, connect};

/// Room for all that a scene sends.
const WIDE: usize = 1_000;

fn sit(registry: &Hub) -> (Subscriptions, Peer) {
    let (socket, peer) = connect(WIDE);
    let outbox = SendQueue::new(socket, WIDE, QueueBudget::new(WIDE)).unwrap();
    (registry.seat(outbox), peer)
}

/// Takes a seat and joins a channel with `.` as the confirmation.
fn join(registry: &Hub, channel: &str) -> (Subscriptions, Peer) {
    let (mut seat, peer) = sit(registry);
    seat.join(channel, &Bytes::from_static(b"."));
    (seat, peer)
}

fn broadcast(registry: &Hub, channel: &str, text: &'static str) -> usize {
    registry.broadcast(channel, &Bytes::from_static(text.as_bytes()))
}

/// A thread that works with the registry.
fn spawn<T: Send + 'static>(
    registry: &Hub,
    work: impl FnOnce(Hub) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let registry = registry.clone();
    thread::spawn(move || work(registry))
}

fn text(peer: &Peer) -> String {
    String::from_utf8(peer.seen()).unwrap()
}

/// Nobody is left. Every message here has one byte.
fn assert_empty(registry: &Hub, deliveries: u64) {
    let nothing = Stats {
        deliveries,
        delivered_bytes: deliveries,
        connected: 0,
        channels: 0,
        subscriptions: 0,
    };
    assert_eq!(registry.stats(), nothing);
}

#[test]
fn who_joins_as_the_last_one_leaves_is_not_left_alone() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let (bob, _screen) = join(&registry, "x");
        let leaving = thread::spawn(move || drop(bob));
        let (alice, screen) = join(&registry, "x");
        leaving.join().unwrap();
        assert_eq!(broadcast(&registry, "x", "!"), 1);
        assert_eq!(text(&screen), ".!");
        let stats = registry.stats();
        assert_eq!((stats.channels, stats.subscriptions), (1, 1));
        drop(alice);
        assert_empty(&registry, 1);
    });
}

#[test]
fn two_that_join_a_new_channel_share_it() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let other = spawn(&registry, |registry| join(&registry, "x"));
        let (alice, alices) = join(&registry, "x");
        let (bob, bobs) = other.join().unwrap();
        assert_eq!(broadcast(&registry, "x", "!"), 2);
        assert_eq!((text(&alices), text(&bobs)), (".!".into(), ".!".into()));
        drop((alice, bob));
        assert_empty(&registry, 2);
    });
}

#[test]
fn two_that_leave_at_once_take_the_channel_with_them() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let (alice, _alices) = join(&registry, "x");
        let (bob, _bobs) = join(&registry, "x");
        let leaving = thread::spawn(move || drop(bob));
        drop(alice);
        leaving.join().unwrap();
        assert_empty(&registry, 0);
    });
}

#[test]
fn a_broadcast_never_comes_before_the_confirmation() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let other = spawn(&registry, |registry| broadcast(&registry, "x", "!"));
        let (alice, screen) = join(&registry, "x");
        let delivered = other.join().unwrap();
        assert_eq!(text(&screen), [".", ".!"][delivered]);
        drop(alice);
        assert_empty(&registry, delivered as u64);
    });
}

#[test]
fn who_leaves_during_a_broadcast_is_counted_if_it_got_it() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let (alice, alices) = join(&registry, "x");
        let (bob, bobs) = join(&registry, "x");
        let leaving = thread::spawn(move || drop(bob));
        let delivered = broadcast(&registry, "x", "!");
        leaving.join().unwrap();
        assert_eq!(text(&alices), ".!");
        assert_eq!(text(&bobs), [".", ".!"][delivered - 1]);
        drop(alice);
        assert_empty(&registry, delivered as u64);
    });
}

#[test]
fn two_broadcasts_come_to_all_in_one_order() {
    explore(Preemptions::Any, || {
        let registry = Hub::default();
        let (alice, alices) = join(&registry, "x");
        let (bob, bobs) = join(&registry, "x");
        let other = spawn(&registry, |registry| broadcast(&registry, "x", "2"));
        assert_eq!(broadcast(&registry, "x", "1"), 2);
        assert_eq!(other.join().unwrap(), 2);
        assert_eq!(text(&alices), text(&bobs));
        assert!(
            [".12", ".21"].contains(&&*text(&alices)),
            "{}",
            text(&alices)
        );
        drop((alice, bob));
        assert_empty(&registry, 4);
    });
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn three_broadcasters_give_all_subscribers_one_order() {
        explore_many(5_000, || {
            let registry = Hub::default();
            let seats = [join(&registry, "x"), join(&registry, "x")];
            let broadcasters = [["a", "b"], ["c", "d"], ["e", "f"]].map(|texts| {
                spawn(&registry, move |registry| {
                    for text in texts {
                        assert_eq!(broadcast(&registry, "x", text), 2);
                    }
                })
            });
            for broadcaster in broadcasters {
                broadcaster.join().unwrap();
            }
            let [first, second] = [text(&seats[0].1), text(&seats[1].1)];
            assert_eq!(first, second);
            for pair in ["ab", "cd", "ef"] {
                let places = pair.chars().map(|c| first.find(c));
                assert!(places.is_sorted(), "{first}");
            }
            assert_eq!(first.len(), 7, "{first}");
            drop(seats);
            assert_empty(&registry, 12);
        });
    }

    #[test]
    fn visitors_that_come_and_go_get_what_follows_and_leave_no_trace() {
        explore_many(5_000, || {
            let registry = Hub::default();
            let screens = ["1", "2", "3"].map(|own| {
                spawn(&registry, move |registry| {
                    let (mut seat, screen) = sit(&registry);
                    let mut delivered = 0;
                    for channel in ["x", "y"] {
                        seat.join(channel, &Bytes::from_static(b"."));
                        let count = broadcast(&registry, channel, own);
                        assert!(count >= 1, "its own broadcast passed it by");
                        delivered += count;
                    }
                    seat.join("x", &Bytes::from_static(b"."));
                    drop(seat);
                    let seen = text(&screen);
                    assert_eq!(seen.matches(own).count(), 2, "{seen}");
                    assert_eq!(seen.matches('.').count(), 3, "{seen}");
                    (delivered, seen.len() - 3)
                })
            });
            let (mut delivered, mut seen) = (0, 0);
            for visitor in screens {
                let counts = visitor.join().unwrap();
                delivered += counts.0;
                seen += counts.1;
            }
            assert_eq!(delivered, seen);
            assert_empty(&registry, delivered as u64);
        });
    }

    #[test]
    fn a_broadcast_meets_joins_and_leaves_and_counts_who_got_it() {
        explore_many(5_000, || {
            let registry = Hub::default();
            let (bob, bobs) = join(&registry, "x");
            let leaving = thread::spawn(move || drop(bob));
            let joining = spawn(&registry, |registry| join(&registry, "x"));
            let other = spawn(&registry, |registry| broadcast(&registry, "x", "2"));
            let delivered = broadcast(&registry, "x", "1") + other.join().unwrap();
            leaving.join().unwrap();
            let (alice, alices) = joining.join().unwrap();
            let got = |peer: &Peer| text(peer).len() - 1;
            assert_eq!(delivered, got(&bobs) + got(&alices));
            assert!(text(&alices).starts_with('.'));
            drop(alice);
            assert_empty(&registry, delivered as u64);
        });
    }
}
