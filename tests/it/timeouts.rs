//! Timeouts. Each is set short here; a test waits for the event itself, not for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::http::Http;
use crate::support::raw::{CLOSE, PING, PONG, TEXT, close_payload, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::{eventually, token};

const INTERVAL: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_millis(400);

/// So long after a timeout of `LIMIT` that it would have expired.
const WELL_AFTER: Duration = Duration::from_millis(900);

#[test]
fn server_pings_at_the_interval() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let started = Instant::now();
    let mut raw = server.raw_subscriber(&["a"]);
    for number in 1..=2 {
        let ping = raw.next();
        assert_eq!(ping.first, PING);
        assert!(ping.payload.len() <= 125);
        assert!(
            started.elapsed() >= INTERVAL * number,
            "ping {number} after {:?}",
            started.elapsed()
        );
        raw.send(PONG, ping.payload);
    }
}

#[test]
fn silent_peer_is_cut_after_two_intervals() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let started = Instant::now();
    let mut raw = server.raw_subscriber(&["a"]);
    raw.http.drain();
    assert!(
        started.elapsed() >= INTERVAL * 2,
        "cut after {:?}",
        started.elapsed()
    );
    server.wait_connected(0);
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn peer_that_answers_pings_stays() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let mut raw = server.raw_subscriber(&["a"]);
    for _ in 0..4 {
        let ping = raw.next();
        assert_eq!(ping.first, PING);
        raw.send(PONG, ping.payload);
    }
    assert_eq!(server.broadcast("a", "{}"), 1);
    raw.expect_text("{}");
}

#[test]
fn peer_that_sends_anything_at_all_stays() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let mut raw = server.raw_subscriber(&["a"]);
    for _ in 0..4 {
        assert_eq!(raw.next().first, PING);
        raw.send_text(r#"{"event":"hello"}"#);
    }
    assert_eq!(server.broadcast("a", "{}"), 1);
    raw.expect_text("{}");
}

#[test]
fn server_that_stood_still_cuts_no_client_that_is_there() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let mut answering = server.raw_subscriber(&["a"]);
    let mut idle = server.raw_subscriber(&["a"]);
    server.signal(Signal::STOP);
    // The server hears neither this nor the clock.
    answering.send(PONG, "");
    thread::sleep(INTERVAL * 7);
    server.signal(Signal::CONT);
    // Whoever answers the ping that follows was there all the time.
    for raw in [&mut answering, &mut idle] {
        assert_eq!(raw.next().first, PING);
        raw.send(PONG, "");
    }
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 2);
    for raw in [&mut answering, &mut idle] {
        let frame = eventually("the message", || {
            Some(raw.next()).filter(|frame| frame.first != PING)
        });
        assert_eq!(
            (frame.first, &frame.payload[..]),
            (TEXT, &br#"{"n":1}"#[..])
        );
    }
}

#[test]
fn silent_peers_are_logged_in_one_line() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "200ms")]);
    let _silent: Vec<_> = (0..3).map(|_| server.raw_subscriber(&["a"])).collect();
    let mut count = 0;
    server
        .stderr
        .wait_for("three silent peers are logged", |line| {
            let (_, logged) = line.split_once("silent subscribers cut count=")?;
            count += logged.parse::<u32>().expect("a count");
            (count == 3).then_some(())
        });
}

#[test]
fn broadcasts_do_not_keep_a_silent_peer() {
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "500ms")]);
    let _silent = server.raw_subscriber(&["a"]);
    eventually("the silent peer is cut", || {
        (server.broadcast("a", "{}") == 0).then_some(())
    });
}

#[test]
fn authentication_times_out_with_4002() {
    let server = Server::with(&[("BIFROST_AUTH_TIMEOUT", "400ms")]);
    let started = Instant::now();
    let mut stranger = server.connect();
    stranger.expect_close(4002, "Authentication timed out");
    assert!(started.elapsed() >= LIMIT, "after {:?}", started.elapsed());
    server.wait_connected(0);
}

#[test]
fn authentication_timeout_is_not_extended_by_pings_or_refused_input() {
    let server = Server::with(&[("BIFROST_AUTH_TIMEOUT", "400ms")]);
    for talk in [r#"{"event":"ping"}"#, "garbage", r#"{"event":"hello"}"#] {
        let started = Instant::now();
        let mut raw = server.raw();
        let close = eventually("a close frame", || {
            raw.http.try_send(masked(TEXT, talk));
            raw.http.try_send(masked(PONG, ""));
            thread::sleep(Duration::from_millis(50)); // a client that never pauses is cut for that
            let more = raw.http.has_more_within(Duration::from_millis(1));
            more.then(|| raw.next())
                .filter(|frame| frame.first == CLOSE)
        });
        assert_eq!(
            close.payload,
            close_payload(4002, "Authentication timed out")
        );
        assert!(started.elapsed() >= LIMIT, "after {:?}", started.elapsed());
    }
}

#[test]
fn partial_frame_does_not_extend_the_authentication_timeout() {
    let server = Server::with(&[("BIFROST_AUTH_TIMEOUT", "400ms")]);
    let mut raw = server.raw();
    let frame = masked(TEXT, r#"{"event":"ping"}"#);
    raw.http.send(&frame[..9]);
    assert_eq!(raw.expect_close(4002), "Authentication timed out");
}

#[test]
fn authenticated_subscriber_does_not_time_out() {
    let server = Server::with(&[
        ("BIFROST_AUTH_TIMEOUT", "1s"),
        ("BIFROST_REQUEST_TIMEOUT", "1s"),
        ("BIFROST_IDLE_TIMEOUT", "1s"),
        ("BIFROST_WRITE_TIMEOUT", "1s"),
    ]);
    let mut raw = server.raw_subscriber(&["a"]);
    raw.http.expect_silence(Duration::from_millis(1300));
    assert_eq!(server.broadcast("a", "{}"), 1);
    raw.expect_text("{}");
}

/// Asserts that the connection ends after `LIMIT`, with or without a 408.
#[track_caller]
fn expect_timed_out(mut http: Http, started: Instant) {
    if let Some(response) = http.try_response() {
        response.expect_error(408);
        http.expect_closed();
    }
    assert!(started.elapsed() >= LIMIT, "after {:?}", started.elapsed());
}

#[test]
fn request_must_arrive_whole_within_the_timeout() {
    let server = Server::with(&[("BIFROST_REQUEST_TIMEOUT", "400ms")]);
    for begun in [
        "G",
        "GET /healthz HTTP/1.1\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ] {
        let started = Instant::now();
        let mut http = server.http();
        http.send(begun);
        expect_timed_out(http, started);
    }
}

#[test]
fn request_timeout_is_not_extended_by_single_bytes() {
    let server = Server::with(&[("BIFROST_REQUEST_TIMEOUT", "400ms")]);
    let endless_body = "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    for head in ["GET /healthz HTTP/1.1\r\nHost: x\r\nLong: ", endless_body] {
        let mut http = server.http();
        let started = Instant::now();
        http.send(head);
        eventually("the server hangs up or answers", || {
            let hung_up = !http.try_send(" ");
            (hung_up || http.has_more_within(Duration::from_millis(20))).then_some(())
        });
        expect_timed_out(http, started);
    }
}

#[test]
fn connection_that_never_sends_a_byte_is_closed() {
    let server = Server::with(&[("BIFROST_REQUEST_TIMEOUT", "400ms")]);
    let started = Instant::now();
    expect_timed_out(server.http(), started);
}

#[test]
fn request_timeout_starts_anew_with_each_request() {
    let server = Server::with(&[("BIFROST_REQUEST_TIMEOUT", "400ms")]);
    let mut http = server.http();
    http.get("/healthz");
    http.expect_silence(WELL_AFTER);
    http.get("/healthz").expect_json(200, r#"{"status":"ok"}"#);
    let started = Instant::now();
    http.send("GET /healthz HTTP/1.1\r\n");
    expect_timed_out(http, started);
}

#[test]
fn idle_connection_is_closed() {
    let server = Server::with(&[("BIFROST_IDLE_TIMEOUT", "400ms")]);
    let mut http = server.http();
    let started = Instant::now();
    http.get("/healthz");
    http.expect_closed();
    assert!(started.elapsed() >= LIMIT, "after {:?}", started.elapsed());
}

#[test]
fn peer_that_reads_nothing_is_cut() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "400ms")]);
    let mut http = server.http();
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // The responses are never read: the server must give up writing, and then reading.
    eventually("the server hangs up", || {
        (!http.try_send(&requests)).then_some(())
    });
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn client_that_reads_slowly_but_steadily_is_served() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "400ms")]);
    let mut http = server.http();
    let token = token::publisher("a", "{}");
    let request = post(
        "/broadcast",
        "application/json",
        format!(r#"{{"token":"{token}"}}"#),
    );
    let (first, second) = request.split_at(40);
    http.send(first);
    http.expect_silence(WELL_AFTER);
    http.send(second);
    assert_eq!(deliveries(&http.response()), 0);
}
