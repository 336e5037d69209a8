//! SIGTERM and SIGINT: queued messages are delivered, subscribers get a close frame, and the process
//! ends with status 0.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::raw::{CLOSE, HANDSHAKE, RawSocket, close_payload, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::token;

const RESTART: &str = "Service restart";

/// Timeouts longer than any test: a test that waits for one fails.
const PATIENT: [(&str, &str); 2] = [
    ("BIFROST_WRITE_TIMEOUT", "60s"),
    ("BIFROST_DRAIN_TIMEOUT", "60s"),
];

/// Starts draining, and returns the subscriber that keeps the server from ending: it has received
/// the close frame, and does not answer.
fn draining(server: &Server) -> RawSocket {
    let mut keeper = server.raw_subscriber(&["a"]);
    server.signal(Signal::TERM);
    assert_eq!(keeper.expect_close(1012), RESTART);
    keeper
}

fn answer(mut told: RawSocket) {
    told.send(CLOSE, close_payload(1012, ""));
    told.expect_end();
}

#[test]
fn server_without_connections_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::with(&PATIENT);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn subscribers_get_1012_and_the_process_ends_with_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::with(&PATIENT);
        let mut alice = server.subscriber(&["a"]);
        let mut bob = server.subscriber(&["b"]);
        let mut stranger = server.connect();
        server.signal(signal);
        alice.expect_close(1012, RESTART);
        bob.expect_close(1012, RESTART);
        stranger.expect_close(1012, RESTART);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn what_is_queued_is_delivered_before_the_close() {
    let mut server = Server::with(&[PATIENT[0], PATIENT[1], ("BIFROST_QUEUE", "64MiB")]);
    let mut alice = server.narrow_subscriber(&["a"]);
    let message = |number: usize| format!(r#"{{"n":{number},"fill":"{}"}}"#, "x".repeat(60_000));
    for number in 0..150 {
        assert_eq!(server.broadcast("a", &message(number)), 1);
    }
    server.signal(Signal::TERM);
    for number in 0..150 {
        alice.expect_text(&message(number));
    }
    assert_eq!(alice.expect_close(1012), RESTART);
    answer(alice);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn second_sigterm_does_not_shorten_draining() {
    let mut server = Server::with(&PATIENT);
    let mut told = draining(&server);
    // A wrapper may pass on a signal that the whole process group has already received.
    server.signal(Signal::TERM);
    told.http.expect_silence(Duration::from_millis(300));
    answer(told);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn repeated_ctrl_c_ends_the_process_at_once() {
    let mut server = Server::with(&PATIENT);
    let _mute = server.raw_subscriber(&["a"]);
    let first = Instant::now();
    let status = eventually("it ends", || {
        server.signal(Signal::INT);
        server.ended()
    });
    assert_eq!(status.code(), Some(130));
    // A second signal within 500 ms counts as the same one.
    assert!(first.elapsed() >= Duration::from_millis(500));
}

#[test]
fn process_ends_at_the_drain_timeout_with_a_peer_that_never_answers() {
    let mut server = Server::with(&[
        ("BIFROST_WRITE_TIMEOUT", "60s"),
        ("BIFROST_DRAIN_TIMEOUT", "400ms"),
    ]);
    let mut mute = server.raw_subscriber(&["a"]);
    server.signal(Signal::TERM);
    assert_eq!(mute.expect_close(1012), RESTART);
    assert_eq!(server.wait().code(), Some(0));
    mute.expect_end();
}

#[test]
fn peer_that_never_answers_is_cut_after_the_write_limit() {
    let mut server = Server::with(&[
        ("BIFROST_WRITE_TIMEOUT", "400ms"),
        ("BIFROST_DRAIN_TIMEOUT", "60s"),
    ]);
    let mut mute = server.raw_subscriber(&["a"]);
    server.signal(Signal::TERM);
    assert_eq!(mute.expect_close(1012), RESTART);
    mute.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn peer_that_never_reads_does_not_keep_the_process_running() {
    let mut server = Server::with(&[
        ("BIFROST_QUEUE", "64MiB"),
        ("BIFROST_WRITE_TIMEOUT", "60s"),
        ("BIFROST_DRAIN_TIMEOUT", "400ms"),
    ]);
    let _deaf = server.narrow_subscriber(&["a"]);
    let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(60_000));
    for _ in 0..150 {
        server.broadcast("a", &message);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn idle_http_connections_do_not_keep_the_process_running() {
    let mut server = Server::with(&[PATIENT[0], PATIENT[1], ("BIFROST_REQUEST_TIMEOUT", "60s")]);
    let mut idle = server.http();
    idle.get("/healthz");
    let fresh = server.http();
    let mut alice = server.subscriber(&["a"]);
    server.signal(Signal::TERM);
    alice.expect_close(1012, RESTART);
    assert_eq!(server.wait().code(), Some(0));
    drop(fresh);
}

#[test]
fn new_connections_are_refused_while_draining() {
    let mut server = Server::with(&PATIENT);
    let keeper = draining(&server);
    server.wait_refusing();
    answer(keeper);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn open_connection_is_answered_while_draining() {
    let mut server = Server::with(&PATIENT);
    let mut http = server.http();
    http.get("/readyz").expect_json(200, r#"{"status":"ok"}"#);
    let keeper = draining(&server);
    http.get("/readyz")
        .expect_json(503, r#"{"status":"draining"}"#);
    drop(http);
    answer(keeper);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn open_connection_is_answered_however_long_draining_takes() {
    let mut server = Server::with(&PATIENT);
    let mut http = server.http();
    http.get("/readyz").expect_json(200, r#"{"status":"ok"}"#);
    let keeper = draining(&server);
    http.expect_silence(Duration::from_millis(1500));
    http.get("/readyz")
        .expect_json(503, r#"{"status":"draining"}"#);
    drop(http);
    answer(keeper);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn open_connections_can_do_everything_but_subscribe_while_draining() {
    let mut server = Server::with(&PATIENT);
    let mut open: Vec<_> = (0..5).map(|_| server.http()).collect();
    for http in &mut open {
        http.get("/healthz");
    }
    let keeper = draining(&server);
    open[0]
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
    assert_eq!(open[1].get("/info.json").status, 200);
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("b", "{}"));
    assert_eq!(
        deliveries(
            &open[2]
                .send(post("/broadcast", "application/json", body))
                .response()
        ),
        0
    );
    open[3].send(HANDSHAKE).response().expect_error(503);
    open[4].get("/nowhere").expect_error(404);
    drop(open);
    answer(keeper);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn request_under_way_is_answered() {
    let mut server = Server::with(&PATIENT);
    let mut http = server.http();
    http.get("/healthz");
    http.send("GET /readyz HTTP/1.1\r\nHo");
    let keeper = draining(&server);
    http.send("st: x\r\n\r\n");
    http.response().expect_json(503, r#"{"status":"draining"}"#);
    drop(http);
    answer(keeper);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn process_ends_when_a_client_closes_at_the_same_time() {
    let mut server = Server::with(&PATIENT);
    let mut raw = server.raw_subscriber(&["a"]);
    server.signal(Signal::TERM);
    raw.http.try_send(masked(CLOSE, close_payload(1000, "")));
    raw.http.drain();
    assert_eq!(server.wait().code(), Some(0));
}
