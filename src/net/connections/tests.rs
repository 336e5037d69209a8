//! Who may come, who stays, and who makes room.

use super::*;
use crate::hub::queue::QueueBudget;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A connection and the peer of it.
fn admit(connections: &Connections) -> (ConnectionPermit, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    (connections.admit(Socket::new(stream)), peer)
}

/// The same, in the middle of a request that is there whole.
fn busy(connections: &Connections) -> (RequestGuard, ConnectionPermit, TcpStream) {
    let (slot, peer) = admit(connections);
    let work = slot.guest().begin_work().unwrap();
    work.whole().unwrap();
    (work, slot, peer)
}

#[test]
fn a_reserve_is_kept_beyond_the_limit() {
    let connections = Connections::new(2);
    let busy = |_| busy(&connections);
    let mut slots: Vec<_> = (0..2).map(busy).collect();
    assert!(connections.can_upgrade());
    slots.push(busy(2));
    assert!(!connections.can_upgrade() && !connections.evict_for_upgrade());
    slots.extend((3..2 + RESERVE).map(busy));
    assert!(!connections.wait_until_can_accept(Instant::now()));
    slots.pop();
    assert!(connections.wait_until_can_accept(Instant::now()));
    slots.clear();
    assert!(connections.wait_for_end(Instant::now()));
}

#[test]
fn the_limit_may_change_while_they_are_here() {
    let connections = Connections::new(1);
    let busy = |_| busy(&connections);
    let slots: Vec<_> = (0..2).map(busy).collect();
    assert!(!connections.can_upgrade());
    connections.set_limit(2);
    assert!(connections.can_upgrade() && connections.evict_for_upgrade());
    connections.set_limit(1);
    assert!(!connections.evict_for_upgrade() && !connections.wait_for_end(Instant::now()));
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
    assert!(connections.evict_for_upgrade() && idle.begin_work().is_none());
    assert!(guests[2].0.guest().begin_work().is_none());
    assert_eq!(guests[2].1.read(&mut [0; 1]).unwrap(), 0, "it is cut");
    assert!(!subscriber.presence.is_leaving());
    drop((work, guests));
    assert!(connections.can_upgrade());
}

#[test]
fn a_request_that_arrives_leaves_last() {
    let connections = Connections::new(1);
    let (half, _browser) = admit(&connections);
    let arriving = half.guest().begin_work().unwrap();
    let (newcomer, _peer) = admit(&connections);
    let work = newcomer.guest().begin_work().unwrap();
    work.whole().unwrap();
    assert!(
        connections
            .0
            .guests
            .lock()
            .evict_one(EvictionPriority::Idle)
            .is_none()
    );
    assert!(connections.evict_for_upgrade());
    assert!(arriving.whole().is_none());
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
    assert!(!connections.can_upgrade() && !connections.evict_for_upgrade());
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
    assert!(!connections.evict_for_upgrade());
    assert!(slot.guest().begin_work().is_some());
}

#[test]
fn subscribers_are_waited_for_by_themselves() {
    let connections = Connections::new(2);
    let (http, _browser) = admit(&connections);
    let (subscriber, _screen) = admit(&connections);
    let outbox = SendQueue::new(
        subscriber.guest.presence.socket().clone(),
        1,
        QueueBudget::new(1),
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
