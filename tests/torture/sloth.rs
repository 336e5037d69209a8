//! The slow and the silent: each is cut at its time limit, and costs one small thread till then.

use std::thread;
use std::time::Duration;

use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{CLOSE, RawSocket, TEXT, masked};
use crate::support::server::Server;
use crate::tools::vitals::{Vitals, wait_shrunk};

const COUNT: usize = 200;

/// What one of them may cost in resident memory, in KiB: a thread, a head and some buffers.
const EACH: usize = 100;

/// So many connections, each brought to where it is slow.
fn crowd<T>(server: &Server, count: usize, begin: impl Fn(&Server) -> T) -> Vec<T> {
    (0..count).map(|_| begin(server)).collect()
}

/// Asserts that so many slow ones cost a thread each and little memory.
#[track_caller]
fn expect_small_cost(server: &Server, before: Vitals, count: usize) {
    let now = Vitals::of(server);
    assert!(
        now.threads <= before.threads + count + 4,
        "{count} of them take more than a thread each: {before:?}, {now:?}"
    );
    assert!(
        now.memory <= before.memory + count * EACH,
        "{count} of them take over {EACH} KiB each: {before:?}, {now:?}"
    );
}

/// A server whose limit of this name is short and whose other limits can't be what cuts.
fn impatient(name: &str) -> Server {
    let patient = [
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_WRITE_TIMEOUT",
        "BIFROST_PING_INTERVAL",
    ];
    patient
        .iter()
        .fold(Launch::serve(), |launch, patient| {
            launch.env(patient, "10m")
        })
        .env(name, "3s")
        .start()
}

/// Sends a byte now and then for as long as the server takes them; the time limit is for the whole.
fn drip(all: &mut [Http], byte: &str) {
    while all.iter_mut().any(|http| http.try_send(byte)) {
        thread::sleep(Duration::from_millis(100));
        // Who has an answer sends no more: it would only be reset.
        if all
            .iter_mut()
            .all(|http| http.has_more_within(Duration::from_millis(1)))
        {
            return;
        }
    }
}

/// Lets slow requests drip until they are cut; they are told why.
fn expect_cut_with_408(beginning: &str, byte: &str) {
    let server = impatient("BIFROST_REQUEST_TIMEOUT");
    let mut others = server.raw_subscriber(&["a"]);
    let before = Vitals::of(&server);
    let mut slow = crowd(&server, COUNT, |server| {
        let mut http = server.http();
        http.send(beginning);
        http
    });
    expect_small_cost(&server, before, COUNT);
    assert_eq!(server.broadcast("a", "{}"), 1);
    others.expect_text("{}");
    drip(&mut slow, byte);
    for http in &mut slow {
        http.response().expect_error(408);
    }
    drop(slow);
    wait_shrunk(&server, before);
}

#[test]
fn slow_heads_are_cut() {
    expect_cut_with_408("GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", "x");
}

#[test]
fn slow_bodies_are_cut() {
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{";
    expect_cut_with_408(head, " ");
}

#[test]
fn slow_chunks_are_cut() {
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect_cut_with_408(head, "1\r\n \r\n");
}

#[test]
fn who_never_says_anything_is_cut() {
    let server = impatient("BIFROST_REQUEST_TIMEOUT");
    let before = Vitals::of(&server);
    let mut silent = crowd(&server, COUNT, Server::http);
    expect_small_cost(&server, before, COUNT);
    silent.iter_mut().for_each(Http::expect_closed);
    wait_shrunk(&server, before);
}

#[test]
fn idle_connections_are_cut() {
    let server = impatient("BIFROST_IDLE_TIMEOUT");
    let before = Vitals::of(&server);
    let mut idle = crowd(&server, COUNT, |server| {
        let mut http = server.http();
        assert_eq!(http.get("/healthz").status, 200);
        http
    });
    expect_small_cost(&server, before, COUNT);
    idle.iter_mut().for_each(Http::expect_closed);
    wait_shrunk(&server, before);
}

#[test]
fn who_never_authenticates_is_cut() {
    let server = impatient("BIFROST_AUTH_TIMEOUT");
    let before = Vitals::of(&server);
    let mut strangers = crowd(&server, COUNT, Server::raw);
    expect_small_cost(&server, before, COUNT);
    assert_eq!(server.stats().connected, COUNT as u64);
    // What else they say does not extend the time.
    let mut talker = server.raw();
    loop {
        let sent = talker.http.try_send(masked(TEXT, r#"{"event":"ping"}"#));
        let frame = talker.next();
        if frame.first == CLOSE || !sent {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    for stranger in &mut strangers {
        assert_eq!(stranger.expect_close(4002), "Authentication timed out");
    }
    drop((talker, strangers));
    server.wait_connected(0);
    wait_shrunk(&server, before);
}

/// Asks for more than the kernels hold between the two, and takes nothing of it.
fn ask_without_reading(server: &Server) -> Http {
    let narrow = RawSocket::narrow_stream(server.address);
    let mut http = Http::over(narrow);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300));
    http
}

#[test]
fn who_does_not_read_answers_is_cut() {
    let server = impatient("BIFROST_WRITE_TIMEOUT");
    let page = server.get("/").body.len();
    assert!(page * 300 > 1024 * 1024, "{page} bytes are too few");
    let before = Vitals::of(&server);
    let slow = crowd(&server, COUNT, ask_without_reading);
    expect_small_cost(&server, before, COUNT);
    // They are still there, and get what the kernel holds; then comes the end.
    wait_shrunk(&server, before);
    for mut http in slow {
        http.drain();
    }
}
