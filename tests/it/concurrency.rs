//! Many clients at once: bursts of connections, concurrent publishers, and one order for all
//! subscribers.

use std::collections::BTreeMap;
use std::thread;

use crate::support::raise_file_limit;
use crate::support::raw::{HANDSHAKE, RawSocket, TEXT, event, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::token;

#[test]
fn every_client_of_a_burst_of_500_is_subscribed() {
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
fn messages_of_concurrent_publishers_arrive_exactly_once_in_one_order() {
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
        assert!(
            others == &heard[0],
            "two subscribers received different orders"
        );
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
fn pipelined_broadcasts_arrive_in_order() {
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
fn subscribers_that_come_and_go_cost_the_others_no_message() {
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
fn disconnect_unsubscribes_from_every_channel() {
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
