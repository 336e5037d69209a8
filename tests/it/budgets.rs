//! Each budget of the manual's table is filled, and the one goes that the table names.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::raw::{CLOSE, HANDSHAKE, PING, RawSocket, TEXT, masked};
use crate::support::server::{Server, post};
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::support::token;

const JSON_PING: &str = r#"{"event":"ping"}"#;

/// The rows of the table, in its order; each has a test below that is named in the same words.
const BUDGETS: [&str; 12] = [
    "connections",
    "connections of an address",
    "subscribers of a token",
    "what arrives from all",
    "what arrives from one",
    "frames of a client",
    "answers that wait for a client",
    "what waits for a subscriber",
    "what waits for all",
    "channels",
    "time",
    "log lines",
];

/// Publishes to `a` until what waits for the slow subscribers is over a limit; returns how many
/// bytes that took.
fn fill(server: &Server, message: &str, is_over: impl Fn(u64) -> bool) -> usize {
    let mut sent = 0;
    eventually("a queue is over its limit", || {
        sent += message.len();
        is_over(server.broadcast("a", message)).then_some(sent)
    })
}

/// Reads up to the close frame; returns its code.
fn close_code(raw: &mut RawSocket) -> u16 {
    loop {
        let frame = raw.next();
        if frame.first == CLOSE {
            return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
    }
}

fn long_message(size: usize) -> String {
    format!(r#"{{"x":"{}"}}"#, "x".repeat(size))
}

/// A body with its end missing.
fn half_body(server: &Server, size: usize) -> Http {
    let mut http = server.http();
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
    http.send(head).send(vec![b' '; size - 1]);
    http
}

#[test]
fn the_manual_lists_these_budgets() {
    let manual = include_str!("../../src/manual/security.md");
    let (_, table) = manual.split_once("| budget | limit |").expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let listed: Vec<_> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    assert_eq!(
        listed.iter().map(|row| row.trim()).collect::<Vec<_>>(),
        BUDGETS
    );
}

#[test]
fn connections() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "2")]);
    let mut stranger = server.raw();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut bob = server.raw_subscriber(&["a"]);
    assert_eq!(stranger.expect_close(1013), "Server is full");
    let refusal = server.ask(HANDSHAKE);
    refusal.expect_error(503);
    assert!(refusal.header("retry-after").is_some());
    assert_eq!(server.broadcast("a", "{}"), 2);
    alice.expect_text("{}");
    bob.expect_text("{}");
}

#[test]
fn connections_of_an_address() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS_PER_IP", "1")]);
    let mut alice = server.raw();
    for _ in 0..100 {
        let mut refused = server.http();
        assert_eq!(refused.response().status, 503);
    }
    alice.expect_nothing();
}

#[test]
fn subscribers_of_a_token() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS_PER_TOKEN", "1")]);
    let mut alice = server.raw_subscriber(&["a"]);
    let mut second = server.raw();
    second.authenticate(&token::subscriber(&["a"]));
    assert_eq!(close_code(&mut second), 1008);
    alice.expect_nothing();
}

#[test]
fn what_arrives_from_all() {
    let server = ServerWithMetrics::with(&[("BIFROST_INPUT_TOTAL", "128KiB")]);
    let mut alice = server.raw_subscriber(&["a"]);
    // Three quarters are for large ones; the rest is used up by smaller ones.
    assert_eq!(half_body(&server, 400_000).response().status, 503);
    let _half: Vec<_> = (0..3).map(|_| half_body(&server, 30_000)).collect();
    server.scrape_until("the half bodies have arrived", |scrape| {
        scrape.value("bifrost_input_bytes") > 60_000.0
    });
    assert_eq!(half_body(&server, 60_000).response().status, 503);
    let mut bob = server.raw();
    bob.send(0x01, vec![b'x'; 60_000]);
    assert_eq!(close_code(&mut bob), 1013);
    // What fits into the free part of each connection goes on.
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
    let scrape = server.scrape();
    let limit = scrape.value("bifrost_input_limit_bytes");
    assert!(scrape.value("bifrost_input_bytes") <= limit && limit == 131_072.0);
}

#[test]
fn what_arrives_from_one() {
    let server = Server::with(&[("BIFROST_MAX_BODY", "1KiB")]);
    let long = "x".repeat(20_000);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n");
    assert_eq!(server.ask(head).status, 431);
    let body = post("/broadcast", "application/json", &long);
    assert_eq!(server.ask(body).status, 413);
    let mut raw = server.raw();
    raw.send(TEXT, vec![b'x'; 64 * 1024 + 1]);
    assert_eq!(close_code(&mut raw), 1009);
}

#[test]
fn frames_of_a_client() {
    let server = Server::start();
    let mut stranger = server.raw();
    stranger.http.send(masked(PING, "").repeat(1_000));
    assert_eq!(close_code(&mut stranger), 1008);
    let mut alice = server.raw_subscriber(&["a"]);
    alice.http.send(masked(PING, "").repeat(3_000));
    assert_eq!(close_code(&mut alice), 1008);
}

#[test]
fn answers_that_wait_for_a_client() {
    const PINGS: usize = 100;
    let server =
        ServerWithMetrics::with(&[("BIFROST_QUEUE", "64MiB"), ("BIFROST_WRITE_TIMEOUT", "10m")]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let message = long_message(700_000);
    // More than the kernel takes for a client that does not read.
    (0..24).for_each(|_| assert_eq!(server.broadcast("a", &message), 1));
    alice.http.send(masked(TEXT, JSON_PING).repeat(PINGS));
    let handled = |scrape: &crate::support::prometheus_text::Scrape| {
        scrape.labelled("bifrost_client_messages_total", "event", "ping")
    };
    server.scrape_until("some pings are answered", |scrape| handled(scrape) >= 16.0);
    for _ in 0..20 {
        assert_eq!(handled(&server.scrape()), 16.0);
    }
    (0..24).for_each(|_| alice.expect_text(&message));
    (0..PINGS).for_each(|_| alice.expect_pong());
}

#[test]
fn what_waits_for_a_subscriber() {
    let server = Server::with(&[("BIFROST_QUEUE", "64KiB")]);
    let mut reader = server.subscriber(&["b"]);
    let mut slow = server.narrow_subscriber(&["a"]);
    fill(&server, &long_message(20_000), |deliveries| deliveries == 0);
    assert_eq!(close_code(&mut slow), 1013);
    assert_eq!(server.broadcast("b", "{}"), 1);
    reader.expect("{}");
}

#[test]
fn what_waits_for_all() {
    let server = ServerWithMetrics::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_QUEUE_TOTAL", "256KiB"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let mut slow = server.narrow_subscriber(&["a"]);
    // Tiny frames, of which each costs more than its bytes.
    let small = r#"{"x":"a small message, of which many wait"}"#;
    fill(&server, &long_message(50_000), |_| {
        server.scrape().value("bifrost_queue_bytes") > 0.0
    });
    let before = server.scrape().value("bifrost_queue_bytes");
    let sent = fill(&server, small, |deliveries| deliveries == 0);
    let counted = 262_144.0 - before;
    assert!((sent as f64) < counted / 2.0, "{sent} bytes in {counted}");
    assert_eq!(close_code(&mut slow), 1013);
    assert!(server.scrape().value("bifrost_queue_bytes") <= 262_144.0);
}

#[test]
fn channels() {
    let server = Server::start();
    let mut raw = server.raw();
    let names: Vec<_> = (0..129).map(|number| number.to_string()).collect();
    raw.authenticate(&token::subscriber(&names));
    assert_eq!(close_code(&mut raw), 1008);
}

#[test]
fn time() {
    let server = Server::with(&[
        ("BIFROST_REQUEST_TIMEOUT", "300ms"),
        ("BIFROST_AUTH_TIMEOUT", "300ms"),
        ("BIFROST_IDLE_TIMEOUT", "300ms"),
        ("BIFROST_WRITE_TIMEOUT", "300ms"),
    ]);
    assert_eq!(half_body(&server, 100).response().status, 408);
    assert_eq!(close_code(&mut server.raw()), 4002);
    let mut idle = server.http();
    assert_eq!(idle.get("/healthz").status, 200);
    idle.expect_closed();
    // An answer is taken whole in its time, or the connection ends, however steadily it is read.
    let mut slow = RawSocket::narrow_stream(server.address);
    let mut sender = slow.try_clone().expect("a second handle");
    let requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let sending = thread::spawn(move || while sender.write_all(requests.as_bytes()).is_ok() {});
    eventually("the slow reader is cut", || {
        thread::sleep(Duration::from_millis(20)); // 10 KB/s
        (!matches!(slow.read(&mut [0; 200]), Ok(1..))).then_some(())
    });
    sending.join().expect("the sender");
}

#[test]
fn log_lines() {
    let server = Server::start();
    for _ in 0..50 {
        server.post_token("x.y.z").expect_error(400);
    }
    let lines = server.stderr.so_far();
    let refused = lines
        .iter()
        .filter(|line| line.contains("broadcast refused"));
    assert!((1..25).contains(&refused.count()), "{lines:?}");
}
