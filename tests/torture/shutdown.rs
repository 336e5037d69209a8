//! SIGTERM under load delivers every confirmed broadcast; after SIGKILL the next start works at
//! once.

use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::process::Launch;
use crate::support::raw::{CLOSE, RawSocket, close_payload};
use crate::support::server::Server;
use crate::support::{DEADLINE, raise_file_limit};
use crate::tools::publisher::{Publisher, message};
use crate::tools::swarm::Swarm;

const SUBSCRIBERS: usize = 5_000;
/// Subscribers that read all the time.
const READERS: usize = SUBSCRIBERS - LATE;
/// Subscribers that read only after the signal.
const LATE: usize = 20;
const PUBLISHERS: usize = 2;
/// Broadcasts of each publisher that are answered before the signal.
const BEFORE: u64 = 5;

const RESTART: &str = "Service restart";

/// The broadcasts that were answered before the server closed, and their deliveries.
struct Published {
    answered: u64,
    deliveries: u64,
}

/// Posts until the server closes; waits at the barrier when the first few are answered.
fn publish_until_closed(mut publisher: Publisher<'_>, started: &Barrier) -> Published {
    let mut deliveries = 0;
    for _ in 0..BEFORE {
        let count = publisher.try_post().expect("a response");
        assert_eq!(count, READERS as u64);
        deliveries += count;
    }
    started.wait();
    let deadline = Instant::now() + DEADLINE;
    while let Some(count) = publisher.try_post() {
        assert!(Instant::now() < deadline, "the server accepts requests on");
        deliveries += count;
    }
    Published {
        answered: publisher.answered,
        deliveries,
    }
}

/// Large messages that are queued for each late reader.
const QUEUED: u64 = 24;
const LARGE: usize = 32 * 1024;

/// Subscribers of another channel that read only after the signal.
fn late_readers(server: &Server) -> Vec<RawSocket> {
    let late: Vec<_> = (0..LATE)
        .map(|_| server.narrow_subscriber(&["b"]))
        .collect();
    let mut publisher = Publisher::new(server, 0, "b", LARGE);
    for _ in 0..QUEUED {
        publisher.post(late.len() as u64);
    }
    late
}

/// Asserts that each receives all that was answered, then the close frame.
fn read_late(late: Vec<RawSocket>) {
    for mut raw in late {
        for number in 0..QUEUED {
            raw.expect_text(&message(0, number, LARGE));
        }
        assert_eq!(raw.expect_close(1012), RESTART);
        raw.send(CLOSE, close_payload(1012, RESTART)).expect_end();
    }
}

/// Publishes until the server closes; it gets SIGTERM once all publishers have begun.
fn publish_and_terminate(
    server: &Server,
    swarm: &mut Swarm,
    late: Vec<RawSocket>,
) -> Vec<Published> {
    let started = Barrier::new(PUBLISHERS + 1);
    thread::scope(|scope| {
        let publish = |number| {
            let publisher = Publisher::new(server, number, "a", 100);
            let started = &started;
            scope.spawn(move || publish_until_closed(publisher, started))
        };
        let publishing: Vec<_> = (0..PUBLISHERS).map(publish).collect();
        scope.spawn(|| {
            started.wait();
            server.signal(Signal::TERM);
            read_late(late);
        });
        swarm.read_until("it got the close frame and was closed", |client| {
            client.has_ended
        });
        let join =
            |thread: thread::ScopedJoinHandle<'_, Published>| thread.join().expect("a publisher");
        publishing.into_iter().map(join).collect()
    })
}

#[test]
fn sigterm_under_load_loses_no_confirmed_message() {
    raise_file_limit();
    let mut server = Server::with(&[
        ("BIFROST_DRAIN_TIMEOUT", "10m"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let mut swarm = Swarm::connect(&server, READERS, "a");
    let late = late_readers(&server);
    let published = publish_and_terminate(&server, &mut swarm, late);
    assert_eq!(server.wait().code(), Some(0));
    let restart = Some((1012, RESTART.to_owned()));
    for client in swarm.clients() {
        assert_eq!(client.close_frame, restart);
        let received = &client.received[..PUBLISHERS];
        assert!(
            received.iter().all(|count| *count >= BEFORE),
            "{received:?}"
        );
    }
    expect_deliveries(&swarm, &published);
}

/// Asserts that as many messages arrived as the publishers' responses said. A subscriber may have
/// one message more of each publisher: the one whose response the shutdown cut off.
fn expect_deliveries(swarm: &Swarm, published: &[Published]) {
    for (
        publisher,
        Published {
            answered,
            deliveries,
        },
    ) in published.iter().enumerate()
    {
        let received = swarm
            .clients()
            .iter()
            .map(|client| client.received[publisher]);
        let of_answered: u64 = received.clone().map(|count| count.min(*answered)).sum();
        assert_eq!(of_answered, *deliveries, "of publisher {publisher}");
        assert!(received.max() <= Some(answered + 1));
    }
}

#[test]
fn sigterm_ends_in_time_although_no_client_reads() {
    raise_file_limit();
    let mut server = Server::with(&[
        ("BIFROST_DRAIN_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
        ("BIFROST_QUEUE", "64MiB"),
    ]);
    // The kernel takes the messages for these, and they never answer the close frame.
    let unread = Swarm::connect(&server, SUBSCRIBERS, "a");
    // The send buffers of these are too full even for the close frame.
    let narrow: Vec<_> = (0..50).map(|_| server.narrow_subscriber(&["b"])).collect();
    let mut publisher = Publisher::new(&server, 0, "b", 32 * 1024);
    for _ in 0..40 {
        publisher.post(narrow.len() as u64);
    }
    Publisher::new(&server, 0, "a", 100).post(SUBSCRIBERS as u64);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    drop((unread, narrow));
}

#[test]
fn sigkill_does_not_hinder_the_next_start() {
    raise_file_limit();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    for _ in 0..3 {
        let launch = Launch::serve().env("PORT", port.to_string());
        let mut server = launch.start();
        assert_eq!(server.address.port(), port);
        let mut swarm = Swarm::connect(&server, 200, "a");
        let mut publisher = Publisher::new(&server, 0, "a", 100);
        publisher.post(200);
        swarm.read_until("the message has arrived", |client| client.received[0] == 1);
        server.signal(Signal::KILL);
        assert_eq!(server.wait().code(), None);
        // The next server starts while the clients' ends of the connections are still open.
        let mut next = Launch::serve().env("PORT", port.to_string()).start();
        assert_eq!(next.stats().connected, 0);
        assert_eq!(next.broadcast("a", "{}"), 0);
        swarm.read_until("the connection has ended", |client| client.has_ended);
        next.signal(Signal::KILL);
        next.wait();
    }
}
