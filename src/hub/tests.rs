//! Joining, leaving, broadcasting, and the counts.

use super::*;
use crate::hub::queue::QueueBudget;
use crate::net::socket::Socket;
use bytes::BytesMut;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;

fn numbered(message: &Message, into: &mut BytesMut) {
    into.extend_from_slice(format!("{}.{}=", message.channel, message.offset).as_bytes());
    into.extend_from_slice(&message.payload);
}

/// A subscriber without channels, and its peer.
fn connect(hub: &Hub) -> (Subscriptions, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let budget = QueueBudget::new(1 << 20);
    let queue = SendQueue::new(Socket::new(stream), 1 << 20, budget, Bytes::new()).unwrap();
    (hub.connect(queue, numbered), peer)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn counts(hub: &Hub) -> (usize, usize, usize) {
    let stats = hub.stats();
    (stats.connected, stats.channels, stats.subscriptions)
}

#[test]
fn a_broadcast_reaches_subscribers_and_follows_the_confirmation() {
    let hub = Hub::default();
    let (mut alice, mut peer) = connect(&hub);
    let (_bob, _) = connect(&hub);
    alice.join("news", &bytes("ok:"));
    assert_eq!(hub.broadcast("news", bytes("hi")), 1);
    assert_eq!(hub.broadcast("other", bytes("no")), 0);
    assert_eq!(hub.broadcast("news", bytes("ho")), 1);
    drop(alice);
    let mut seen = String::new();
    peer.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "ok:news.1=hinews.2=ho");
    let stats = hub.stats();
    assert_eq!((stats.deliveries, stats.delivered_bytes), (2, 18));
}

#[test]
fn a_channel_is_joined_once_and_removed_with_its_last_subscriber() {
    let hub = Hub::default();
    let (mut alice, _a) = connect(&hub);
    let (mut bob, _b) = connect(&hub);
    for name in ["x", "y", "x"] {
        alice.join(name, &bytes("."));
    }
    bob.join("x", &bytes("."));
    assert_eq!((counts(&hub), alice.count()), ((2, 2, 3), 2));
    drop(alice);
    assert_eq!(counts(&hub), (1, 1, 1));
    assert_eq!(hub.broadcast("x", bytes("hi")), 1);
    drop(bob);
    assert_eq!(counts(&hub), (0, 0, 0));
}

#[test]
fn counts_end_exact_when_many_join_and_leave_at_once() {
    let hub = Hub::default();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let hub = hub.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    let (mut subscriptions, _peer) = connect(&hub);
                    for name in ["a", "b", "c"] {
                        subscriptions.join(name, &bytes("."));
                        assert!(hub.broadcast(name, bytes("!")) >= 1);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(counts(&hub), (0, 0, 0));
}
