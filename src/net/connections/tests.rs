//! Limits, reserve and eviction of the table of connections.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::order::OVERDUE;

const LIMIT: Duration = Duration::from_secs(20);

/// A registered connection and its peer.
fn register(connections: &Connections) -> (ConnectionPermit, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    (connections.register(Socket::new(stream)), peer)
}

/// The same, with a whole request that is not answered.
fn active(connections: &Connections) -> (RequestGuard, ConnectionPermit, TcpStream) {
    let (permit, peer) = register(connections);
    (permit.begin_request().unwrap(), permit, peer)
}

/// The same, after a request that was answered.
fn idle(connections: &Connections) -> (ConnectionPermit, TcpStream) {
    let (request, permit, peer) = active(connections);
    drop(request);
    (permit, peer)
}

/// The same, after a broadcast with a good token.
fn proven(connections: &Connections) -> (ConnectionPermit, TcpStream) {
    let (mut permit, peer) = idle(connections);
    permit.mark_proven();
    (permit, peer)
}

fn wait_for_input(permit: &ConnectionPermit) {
    let deadline = Instant::now() + LIMIT;
    while !permit.has_input() {
        assert!(Instant::now() < deadline, "the input does not arrive");
        thread::yield_now();
    }
}

#[test]
fn a_reserve_is_kept_beyond_the_limit() {
    let connections = Connections::new(2);
    let active = |_| active(&connections);
    let mut all: Vec<_> = (0..2).map(active).collect();
    assert!(connections.can_upgrade());
    all.push(active(2));
    assert!(!connections.can_upgrade() && !connections.evict_for_upgrade());
    all.extend((3..2 + RESERVE).map(active));
    assert!(!connections.wait_until_can_accept(Instant::now()));
    assert_eq!(connections.make_room(), Room::Full(None));
    all.pop();
    assert!(connections.wait_until_can_accept(Instant::now()));
    assert_eq!(connections.make_room(), Room::Free);
    all.clear();
    assert!(connections.wait_for_end(Instant::now()));
}

#[test]
fn the_limit_may_change_while_connections_are_open() {
    let connections = Connections::new(1);
    let active = |_| active(&connections);
    let all: Vec<_> = (0..2).map(active).collect();
    assert!(!connections.can_upgrade());
    connections.set_limit(2);
    assert!(connections.can_upgrade() && connections.evict_for_upgrade());
    connections.set_limit(1);
    assert!(!connections.evict_for_upgrade() && !connections.wait_for_end(Instant::now()));
    drop(all);
}

#[test]
fn the_longest_idle_connection_is_evicted() {
    let connections = Connections::new(2);
    let (subscribed, _subscriber) = register(&connections);
    assert!(subscribed.subscribe());
    let (first, mut cut) = idle(&connections);
    let (second, _peer) = idle(&connections);
    drop(first.begin_request()); // it is idle since now, and the second one since before
    let (_request, _upgrading, _other) = active(&connections);
    assert!(connections.evict_for_upgrade());
    assert!(second.is_evicted() && second.begin_request().is_none());
    assert!(first.is_evicted() && first.begin_request().is_none());
    assert_eq!(cut.read(&mut [0; 1]).unwrap(), 0, "it is cut");
    assert!(!subscribed.is_evicted());
    let occupancy = connections.occupancy();
    assert_eq!((occupancy.open, occupancy.evicted), (2, 2));
    drop((first, second));
    assert_eq!(connections.occupancy().open, 2);
}

#[test]
fn a_connection_that_sends_its_request_is_waited_for() {
    let connections = Connections::new(1);
    let (half, _peer) = register(&connections);
    let reading = half.begin_request().unwrap();
    reading.mark_partial();
    let _active = active(&connections);
    let begun = Instant::now();
    assert!(connections.evict_for_upgrade() && begun.elapsed() >= OVERDUE / 2);
    assert!(!reading.mark_whole());
}

#[test]
fn only_some_upgrades_wait_for_a_place() {
    const UPGRADES: usize = 40;
    let connections = Connections::new(UPGRADES);
    let half: Vec<_> = (0..UPGRADES).map(|_| register(&connections)).collect();
    let begun = Instant::now();
    let all: Vec<_> = (0..UPGRADES).map(|_| active(&connections)).collect();
    thread::scope(|scope| {
        for _ in &all {
            scope.spawn(|| connections.evict_for_upgrade());
        }
        // Long before any of the awaited ones is overdue.
        while half.iter().all(|(permit, _)| !permit.is_evicted()) {
            assert!(begun.elapsed() < LIMIT, "nobody is evicted");
            thread::yield_now();
        }
    });
    assert_eq!(connections.0.entries.lock().waiting, 0);
}

#[test]
fn a_request_that_arrives_whole_meanwhile_is_answered() {
    let connections = Connections::new(1);
    let (half, _peer) = register(&connections);
    let reading = half.begin_request().unwrap();
    reading.mark_partial();
    let _active = active(&connections);
    assert!(reading.mark_whole());
    assert!(!connections.evict_for_upgrade() && !half.is_evicted());
}

#[test]
fn an_answer_that_is_not_taken_protects_nobody() {
    let connections = Connections::new(1);
    let (request, slow, _peer) = active(&connections);
    let _active = active(&connections);
    request.mark_sending();
    assert!(connections.evict_for_upgrade() && slow.is_evicted());
    drop(request);
    assert!(slow.begin_request().is_none());
}

#[test]
fn nothing_is_evicted_if_it_would_not_make_room() {
    let connections = Connections::new(1);
    let _active: Vec<_> = (0..3).map(|_| active(&connections)).collect();
    let (idle, _peer) = idle(&connections);
    assert!(!connections.can_upgrade() && !connections.evict_for_upgrade());
    assert!(idle.begin_request().is_some());
}

#[test]
fn the_acceptor_gives_a_newcomer_a_moment_before_another() {
    let connections = Connections::without_reserve(1);
    let (new, _peer) = register(&connections);
    let Room::Full(Some(until)) = connections.make_room() else {
        panic!("it is evicted at once, or never");
    };
    assert!(!connections.wait_until_can_accept(until) && !new.is_evicted());
    assert_eq!(connections.make_room(), Room::Free);
    assert!(new.is_evicted());
}

#[test]
fn a_proven_connection_outlasts_strangers_whatever_they_have_sent() {
    let connections = Connections::without_reserve(3);
    let (publisher, _peer) = proven(&connections);
    let strangers: Vec<_> = (0..2)
        .map(|_| {
            let (stranger, mut peer) = idle(&connections);
            peer.write_all(b"GET").unwrap();
            wait_for_input(&stranger);
            (stranger, peer)
        })
        .collect();
    for (stranger, _) in &strangers {
        assert_eq!(connections.evict_for_thread(), Room::Free);
        assert!(stranger.is_evicted() && !publisher.is_evicted());
    }
    assert_eq!(connections.evict_for_thread(), Room::Free);
    assert!(publisher.is_evicted());
    assert_eq!(connections.evict_for_thread(), Room::Full(None));
}

#[test]
fn a_proven_connection_with_unread_input_is_not_evicted() {
    let connections = Connections::without_reserve(1);
    let (publisher, mut peer) = proven(&connections);
    peer.write_all(b"POST").unwrap();
    wait_for_input(&publisher);
    assert_eq!(connections.make_room(), Room::Full(None));
    assert!(publisher.begin_request().is_some());
}

/// An upgraded connection that ignores what the table asks of it.
#[derive(Debug)]
struct Ignoring;

impl PushConnection for Ignoring {
    fn ping(&self) {}
    fn wake(&self) {}
    fn close_evicted(&self) {}
}

#[test]
fn a_connection_is_not_idle_while_it_is_upgraded() {
    let connections = Connections::without_reserve(1);
    let (request, mut permit, _peer) = active(&connections);
    permit.upgrade(Ignoring);
    drop(request);
    assert_eq!(connections.make_room(), Room::Full(None));
    permit.await_token();
    assert!(matches!(connections.make_room(), Room::Full(Some(_))));
    assert!(!permit.is_evicted());
}

#[test]
fn upgraded_connections_are_waited_for_by_themselves() {
    let connections = Connections::new(2);
    let (http, _peer) = register(&connections);
    let (mut upgraded, _subscriber) = register(&connections);
    upgraded.upgrade(Ignoring);
    assert!(!connections.wait_for_upgraded(Instant::now()));
    drop(upgraded);
    assert!(connections.wait_for_upgraded(Instant::now()));
    let request = http.begin_request();
    assert!(!connections.wait_for_requests(Instant::now()));
    drop(request);
    assert!(connections.wait_for_requests(Instant::now()));
    assert!(!connections.wait_for_end(Instant::now()));
    drop(http);
    assert!(connections.wait_for_end(Instant::now()));
}

#[test]
fn an_evicted_connection_that_was_upgraded_is_told() {
    #[derive(Debug)]
    struct Telling(std::sync::mpsc::Sender<&'static str>);
    impl PushConnection for Telling {
        fn ping(&self) {}
        fn wake(&self) {
            self.0.send("wake").unwrap();
        }
        fn close_evicted(&self) {
            self.0.send("close").unwrap();
        }
    }
    let (sender, told) = std::sync::mpsc::channel();
    let connections = Connections::without_reserve(1);
    let (mut permit, mut peer) = register(&connections);
    permit.upgrade(Telling(sender));
    permit.await_token();
    connections.wake_upgraded();
    let deadline = Instant::now() + LIMIT;
    while connections.make_room() != Room::Free {
        assert!(Instant::now() < deadline, "it is never evicted");
        thread::yield_now();
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["wake", "close"]);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "it is cut");
    assert!(permit.is_evicted());
}
