//! SIGTERM under load, and SIGKILL: what was promised is delivered, and a restart works at once.

use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;

use rustix::process::Signal;

use crate::support::process::Launch;
use crate::support::raise_file_limit;
use crate::support::raw::{CLOSE, RawSocket, close_payload};
use crate::support::server::Server;
use crate::tools::crowd::Crowd;
use crate::tools::publisher::{Publisher, message};

const SUBSCRIBERS: usize = 5_000;
/// Those of them who read all the time, and those who do only in the end.
const READERS: usize = SUBSCRIBERS - LATE;
const LATE: usize = 20;
const PUBLISHERS: usize = 2;
/// Broadcasts that are answered before the signal comes.
const BEFORE: u64 = 5;

const RESTART: &str = "Service restart";

/// What came of publishing until the server refused.
struct Published {
    answered: u64,
    deliveries: u64,
}

/// Posts until the server is gone; says when the first few are answered.
fn publish_until_gone(mut publisher: Publisher<'_>, under_way: &Barrier) -> Published {
    let mut deliveries = 0;
    for _ in 0..BEFORE {
        let count = publisher.try_post().expect("an answer");
        assert_eq!(count, READERS as u64);
        deliveries += count;
    }
    under_way.wait();
    while let Some(count) = publisher.try_post() {
        deliveries += count;
    }
    Published {
        answered: publisher.answered,
        deliveries,
    }
}

/// So many large messages wait for each late reader.
const WAITING: u64 = 24;
const LARGE: usize = 32 * 1024;

/// Subscribers of another channel who read only when the server is about to stop.
fn late_readers(server: &Server) -> Vec<RawSocket> {
    let late: Vec<_> = (0..LATE)
        .map(|_| server.narrow_subscriber(&["b"]))
        .collect();
    let mut publisher = Publisher::new(server, 0, "b", LARGE);
    for _ in 0..WAITING {
        publisher.post(late.len() as u64);
    }
    late
}

/// They get all that was answered, then the farewell.
fn read_late(late: Vec<RawSocket>) {
    for mut raw in late {
        for number in 0..WAITING {
            raw.expect_text(&message(0, number, LARGE));
        }
        assert_eq!(raw.expect_close(1012), RESTART);
        raw.send(CLOSE, close_payload(1012, RESTART)).expect_end();
    }
}

/// Publishes until the server is gone, which it is told to be when all publishers are at it.
fn publish_and_terminate(
    server: &Server,
    crowd: &mut Crowd,
    late: Vec<RawSocket>,
) -> Vec<Published> {
    let under_way = Barrier::new(PUBLISHERS + 1);
    thread::scope(|scope| {
        let publish = |number| {
            let publisher = Publisher::new(server, number, "a", 100);
            let under_way = &under_way;
            scope.spawn(move || publish_until_gone(publisher, under_way))
        };
        let publishing: Vec<_> = (0..PUBLISHERS).map(publish).collect();
        scope.spawn(|| {
            under_way.wait();
            server.signal(Signal::TERM);
            read_late(late);
        });
        crowd.read_until("they are told and cut", |member| member.has_ended);
        let join = |thread: thread::ScopedJoinHandle<'_, Published>| thread.join().expect("it");
        publishing.into_iter().map(join).collect()
    })
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_promised() {
    raise_file_limit();
    let mut server = Server::with(&[
        ("BIFROST_DRAIN_TIMEOUT", "10m"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let mut crowd = Crowd::gather(&server, READERS, "a");
    let late = late_readers(&server);
    let published = publish_and_terminate(&server, &mut crowd, late);
    assert_eq!(server.wait().code(), Some(0));
    let restart = Some((1012, RESTART.to_owned()));
    for member in crowd.members() {
        assert_eq!(member.farewell, restart);
        let heard = &member.heard[..PUBLISHERS];
        assert!(heard.iter().all(|heard| *heard >= BEFORE), "{heard:?}");
    }
    expect_deliveries(&crowd, &published);
}

/// Asserts that the deliveries that the publishers were told are those that arrived. Who was
/// told of one more publisher's message than was answered, was told before its answer came.
fn expect_deliveries(crowd: &Crowd, published: &[Published]) {
    for (
        publisher,
        Published {
            answered,
            deliveries,
        },
    ) in published.iter().enumerate()
    {
        let heard = crowd.members().iter().map(|member| member.heard[publisher]);
        let of_answered: u64 = heard.clone().map(|heard| heard.min(*answered)).sum();
        assert_eq!(of_answered, *deliveries, "of publisher {publisher}");
        assert!(heard.max() <= Some(answered + 1));
    }
}

#[test]
fn sigterm_ends_in_time_when_nobody_reads() {
    raise_file_limit();
    let mut server = Server::with(&[
        ("BIFROST_DRAIN_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
        ("BIFROST_QUEUE", "64MiB"),
    ]);
    // They take what the kernel takes for them, and never answer the close.
    let deaf = Crowd::gather(&server, SUBSCRIBERS, "a");
    // These have no room even for the close.
    let narrow: Vec<_> = (0..50).map(|_| server.narrow_subscriber(&["b"])).collect();
    let mut publisher = Publisher::new(&server, 0, "b", 32 * 1024);
    for _ in 0..40 {
        publisher.post(narrow.len() as u64);
    }
    Publisher::new(&server, 0, "a", 100).post(SUBSCRIBERS as u64);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    drop((deaf, narrow));
}

#[test]
fn sigkill_leaves_nothing_that_hinders_the_next_start() {
    raise_file_limit();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    for _ in 0..3 {
        let launch = Launch::serve().env("PORT", port.to_string());
        let mut server = launch.start();
        assert_eq!(server.address.port(), port);
        let mut crowd = Crowd::gather(&server, 200, "a");
        let mut publisher = Publisher::new(&server, 0, "a", 100);
        publisher.post(200);
        crowd.read_until("they have heard it", |member| member.heard[0] == 1);
        server.signal(Signal::KILL);
        assert_eq!(server.wait().code(), None);
        // The next one starts while these are still open at the clients' side.
        let mut next = Launch::serve().env("PORT", port.to_string()).start();
        assert_eq!(next.stats().connected, 0);
        assert_eq!(next.broadcast("a", "{}"), 0);
        crowd.read_until("they see the end", |member| member.has_ended);
        next.signal(Signal::KILL);
        next.wait();
    }
}
