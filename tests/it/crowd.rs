//! Many at once: bursts of clients, concurrent publishers, one order for all.

use std::collections::BTreeMap;
use std::thread;

use crate::support::process::Launch;
use crate::support::raise_file_limit;
use crate::support::raw::{HANDSHAKE, RawSocket, TEXT, event, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::token;

#[test]
fn burst_of_500_clients_is_subscribed_to_the_last() {
    raise_file_limit();
    let server = Server::start();
    let mut opening = HANDSHAKE.as_bytes().to_vec();
    opening.extend(masked(
        TEXT,
        event("authenticate", &token::subscriber(&["all"])),
    ));
    let mut clients: Vec<_> = (0..500).map(|_| server.http()).collect();
    for http in &mut clients {
        http.send(&opening);
    }
    let mut subscribers: Vec<_> = clients.into_iter().map(RawSocket::upgraded).collect();
    for raw in &mut subscribers {
        raw.expect_confirmed(&["all"]);
    }
    assert_eq!(server.stats().connected, 500);
    assert_eq!(server.broadcast("all", r#"{"n":1}"#), 500);
    for raw in &mut subscribers {
        raw.expect_text(r#"{"n":1}"#);
    }
    drop(subscribers);
    server.wait_connected(0);
}

#[test]
fn concurrent_publishers_are_heard_in_one_order_exactly_once() {
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 60;
    let server = Server::start();
    let mut subscribers: Vec<_> = (0..6).map(|_| server.subscriber(&["a"])).collect();
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let mut http = server.http();
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let message = format!(r#"{{"from":{publisher},"n":{number}}}"#);
                    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", &message));
                    http.send(post("/broadcast", "application/json", body));
                    assert_eq!(deliveries(&http.response()), 6);
                }
            });
        }
        let readers: Vec<_> = subscribers
            .iter_mut()
            .map(|subscriber| {
                scope.spawn(|| {
                    (0..PUBLISHERS * MESSAGES)
                        .map(|_| subscriber.next())
                        .collect()
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().expect("a reader"))
            .collect()
    });
    for subscriber in &mut subscribers {
        subscriber.expect_nothing();
    }
    for others in &heard[1..] {
        assert!(others == &heard[0], "two subscribers heard two orders");
    }
    let mut next = BTreeMap::new();
    for message in &heard[0] {
        let message: serde_json::Value = serde_json::from_str(message).expect("JSON");
        let expected = next.entry(message["from"].as_u64()).or_insert(0);
        assert_eq!(
            message["n"], *expected,
            "a publisher waited for its answer before it went on"
        );
        *expected += 1;
    }
}

#[test]
fn pipelined_broadcasts_arrive_in_their_order() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a", "b"]);
    let mut http = server.http();
    let request = |number: usize| {
        let channel = if number.is_multiple_of(2) { "a" } else { "b" };
        let token = token::publisher(channel, &format!(r#"{{"n":{number}}}"#));
        post(
            "/broadcast",
            "application/json",
            format!(r#"{{"token":"{token}"}}"#),
        )
    };
    http.send((0..100).flat_map(request).collect::<Vec<u8>>());
    for number in 0..100 {
        assert_eq!(deliveries(&http.response()), 1);
        alice.expect(&format!(r#"{{"n":{number}}}"#));
    }
}

#[test]
fn coming_and_going_during_broadcasts_loses_nothing_for_those_who_stay() {
    const MESSAGES: usize = 150;
    let server = Server::start();
    let mut staying: Vec<_> = (0..3).map(|_| server.subscriber(&["a"])).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..30 {
                    let mut raw = server.raw();
                    raw.authenticate(&token::subscriber(&["a"]));
                    raw.expect_confirmed(&["a"]);
                    if round % 2 == 0 {
                        raw.http.reset()
                    }
                }
            });
        }
        scope.spawn(|| {
            (0..MESSAGES)
                .for_each(|n| assert!(server.broadcast("a", &format!(r#"{{"n":{n}}}"#)) >= 3))
        });
        for subscriber in &mut staying {
            scope.spawn(|| {
                (0..MESSAGES).for_each(|n| subscriber.expect(&format!(r#"{{"n":{n}}}"#)))
            });
        }
    });
    server.wait_connected(3);
    assert_eq!(server.broadcast("a", "{}"), 3);
}

#[test]
fn subscriber_of_many_channels_leaves_them_all() {
    let server = Server::start();
    let channels: Vec<String> = (0..128).map(|number| format!("c{number}")).collect();
    for _ in 0..5 {
        let mut raw = server.raw();
        raw.authenticate(&token::subscriber(&channels));
        (0..128).for_each(|_| drop(raw.next()));
    }
    server.wait_connected(0);
    for channel in channels.iter().step_by(16) {
        assert_eq!(server.broadcast(channel, "{}"), 0);
    }
}

#[test]
fn running_out_of_files_is_not_the_end() {
    raise_file_limit();
    // Few enough that the files end before the reserve of a full server does: there is no place
    // for the 18th connection, and the first of them would have to make room for it.
    let server = Launch::serve().descriptors(20).start();
    let mut crowd: Vec<_> = (0..150).map(|_| server.http()).collect();
    // Those that were taken in are served; for the others there is no file left.
    assert_eq!(crowd[0].get("/healthz").status, 200);
    drop(crowd);
    let mut alice = server.raw_when_free();
    alice.authenticate(&token::subscriber(&["a"]));
    alice.expect_confirmed(&["a"]);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
}

#[test]
fn default_connection_limit_fits_the_file_limit() {
    let server = Launch::serve().descriptors(80).start();
    let mut subscribers = Vec::new();
    // Somewhere below the file limit the server says that it is full, and still talks HTTP.
    let refusal = loop {
        let mut http = server.http();
        http.send(HANDSHAKE);
        let response = http.response();
        if response.status != 101 {
            break response;
        }
        let mut subscriber = RawSocket { http };
        subscriber.authenticate(&token::subscriber(&["a"]));
        subscriber.expect_confirmed(&["a"]);
        subscribers.push(subscriber);
        assert!(subscribers.len() < 80, "more connections than files");
    };
    refusal.expect_error(503);
    assert!(
        !subscribers.is_empty(),
        "not a single subscriber fits into 80 files"
    );
    server
        .get("/readyz")
        .expect_json(503, r#"{"status":"full"}"#);
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
