//! Slow and silent clients: each is closed at its time limit, and takes one small thread until
//! then.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{CLOSE, RawSocket, TEXT, masked};
use crate::support::server::Server;
use crate::tools::proc_stats::{ProcStats, wait_shrunk};

const COUNT: usize = 200;

/// The most resident memory of a connection, in KiB: a thread, a head and some buffers.
const MAX_EACH: usize = 100;

/// Opens so many connections.
fn open_many<T>(server: &Server, count: usize, open: impl Fn(&Server) -> T) -> Vec<T> {
    (0..count).map(|_| open(server)).collect()
}

/// Asserts that so many connections take a thread each and little memory.
#[track_caller]
fn expect_small_cost(server: &Server, before: ProcStats, count: usize) {
    let now = ProcStats::of(server);
    assert!(
        now.threads <= before.threads + count + 4,
        "{count} connections take more than a thread each: {before:?}, {now:?}"
    );
    assert!(
        now.memory <= before.memory + count * MAX_EACH,
        "{count} connections take over {MAX_EACH} KiB each: {before:?}, {now:?}"
    );
}

/// A server whose time limit of this name is short and whose other time limits are long.
fn server_with_short(name: &str) -> Server {
    let limits = [
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_WRITE_TIMEOUT",
        "BIFROST_PING_INTERVAL",
    ];
    limits
        .iter()
        .fold(Launch::serve(), |launch, limit| launch.env(limit, "10m"))
        .env(name, "3s")
        .start()
}

/// Sends bytes slowly until the server has answered: the time limit is for the whole request.
fn send_slowly(all: &mut [Http], bytes: &str) {
    let deadline = Instant::now() + DEADLINE;
    while all.iter_mut().any(|http| http.try_send(bytes)) {
        assert!(Instant::now() < deadline, "the server reads on");
        thread::sleep(Duration::from_millis(100));
        // Bytes behind a response would reset the connection before the response is read.
        if all
            .iter_mut()
            .all(|http| http.has_more_within(Duration::from_millis(1)))
        {
            return;
        }
    }
}

/// Asserts that requests that are sent slowly are answered with 408.
fn expect_408(beginning: &str, bytes: &str) {
    let server = server_with_short("BIFROST_REQUEST_TIMEOUT");
    let mut alice = server.raw_subscriber(&["a"]);
    let before = ProcStats::of(&server);
    let mut slow = open_many(&server, COUNT, |server| {
        let mut http = server.http();
        http.send(beginning);
        http
    });
    expect_small_cost(&server, before, COUNT);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
    send_slowly(&mut slow, bytes);
    for http in &mut slow {
        http.response().expect_error(408);
    }
    drop(slow);
    wait_shrunk(&server, before);
}

#[test]
fn slow_heads_are_answered_with_408() {
    expect_408("GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", "x");
}

#[test]
fn slow_bodies_are_answered_with_408() {
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{";
    expect_408(head, " ");
}

#[test]
fn slow_chunks_are_answered_with_408() {
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect_408(head, "1\r\n \r\n");
}

#[test]
fn silent_connections_are_closed() {
    let server = server_with_short("BIFROST_REQUEST_TIMEOUT");
    let before = ProcStats::of(&server);
    let mut silent = open_many(&server, COUNT, Server::http);
    expect_small_cost(&server, before, COUNT);
    silent.iter_mut().for_each(Http::expect_closed);
    wait_shrunk(&server, before);
}

#[test]
fn idle_connections_are_closed() {
    let server = server_with_short("BIFROST_IDLE_TIMEOUT");
    let before = ProcStats::of(&server);
    let mut idle = open_many(&server, COUNT, |server| {
        let mut http = server.http();
        assert_eq!(http.get("/healthz").status, 200);
        http
    });
    expect_small_cost(&server, before, COUNT);
    idle.iter_mut().for_each(Http::expect_closed);
    wait_shrunk(&server, before);
}

#[test]
fn connections_that_never_authenticate_are_closed() {
    let server = server_with_short("BIFROST_AUTH_TIMEOUT");
    let before = ProcStats::of(&server);
    let mut unauthenticated = open_many(&server, COUNT, Server::raw);
    expect_small_cost(&server, before, COUNT);
    assert_eq!(server.stats().connected, COUNT as u64);
    // Other messages do not extend the time limit.
    let mut talker = server.raw();
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "pings extend the time limit");
        let sent = talker.http.try_send(masked(TEXT, r#"{"event":"ping"}"#));
        let frame = talker.next();
        if frame.first == CLOSE || !sent {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    for raw in &mut unauthenticated {
        assert_eq!(raw.expect_close(4002), "Authentication timed out");
    }
    drop((talker, unauthenticated));
    server.wait_connected(0);
    wait_shrunk(&server, before);
}

/// Requests more than the kernel's buffers between the two sockets hold, and reads nothing.
fn request_without_reading(server: &Server) -> Http {
    let narrow = RawSocket::narrow_stream(server.address);
    let mut http = Http::over(narrow);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300));
    http
}

#[test]
fn connections_that_read_no_response_are_closed() {
    let server = server_with_short("BIFROST_WRITE_TIMEOUT");
    let page = server.get("/").body.len();
    assert!(page * 300 > 1024 * 1024, "{page} bytes are too few");
    let before = ProcStats::of(&server);
    let slow = open_many(&server, COUNT, request_without_reading);
    expect_small_cost(&server, before, COUNT);
    // The clients' ends are still open: they get what the kernel's buffers hold, then the end.
    wait_shrunk(&server, before);
    for mut http in slow {
        http.drain();
    }
}
