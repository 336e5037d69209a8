//! Limits, reserve and eviction of the table of connections.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

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
    let request = permit.begin_request().unwrap();
    assert!(request.mark_whole());
    (request, permit, peer)
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
    all.pop();
    assert!(connections.wait_until_can_accept(Instant::now()));
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
    let mut all: Vec<_> = (0..3).map(|_| register(&connections)).collect();
    let subscribed = all[0].0.entry().clone();
    assert!(all[0].0.subscribe());
    let order = |permit: &ConnectionPermit| permit.entry().eviction_order();
    let deadline = Instant::now() + Duration::from_secs(20);
    while order(&all[1].0) == order(&all[2].0) {
        assert!(Instant::now() < deadline, "the clock stands still");
        drop(all[1].0.begin_request());
    }
    // The new connection has been idle for longer than the one that was answered just now.
    let (upgrading, _peer) = register(&connections);
    let request = upgrading.begin_request().unwrap();
    assert!(request.mark_whole());
    assert!(connections.evict_for_upgrade() && all[1].0.begin_request().is_none());
    assert!(all[2].0.begin_request().is_none());
    assert_eq!(all[2].1.read(&mut [0; 1]).unwrap(), 0, "it is cut");
    assert!(!subscribed.is_evicted());
    drop((request, all));
    assert!(connections.can_upgrade());
}

#[test]
fn a_connection_that_sends_its_request_is_evicted_last() {
    let connections = Connections::new(1);
    let (half, _peer) = register(&connections);
    let reading = half.begin_request().unwrap();
    let _active = active(&connections);
    let mut entries = connections.0.entries.lock();
    assert!(entries.evict_one(EvictionPriority::Idle).is_none());
    drop(entries);
    assert!(connections.evict_for_upgrade());
    assert!(!reading.mark_whole());
}

#[test]
fn nothing_is_evicted_if_it_would_not_make_room() {
    let connections = Connections::new(1);
    let all: Vec<_> = (0..3).map(|_| register(&connections)).collect();
    let _active: Vec<_> = all[..2]
        .iter()
        .map(|(permit, _)| {
            let request = permit.begin_request().unwrap();
            assert!(request.mark_whole());
            request
        })
        .collect();
    assert!(!connections.can_upgrade() && !connections.evict_for_upgrade());
    assert!(all[2].0.begin_request().is_some());
}

#[test]
fn a_connection_with_unread_input_is_not_evicted() {
    let connections = Connections::new(1);
    let (permit, mut peer) = register(&connections);
    let _active = active(&connections);
    peer.write_all(b"GET").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !permit.entry().has_input() {
        assert!(Instant::now() < deadline, "the input does not arrive");
        thread::yield_now();
    }
    assert!(!connections.evict_for_upgrade());
    assert!(permit.begin_request().is_some());
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
    assert!(!connections.can_accept() && connections.evict_for_accept());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["wake", "close"]);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "it is cut");
    assert!(permit.is_evicted() && connections.can_accept());
}
