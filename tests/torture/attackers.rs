//! Attackers who hold connections: whoever has shown a good token is not cut for them, and good
//! requests are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::process::Launch;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::server_with_metrics::{ServerWithMetrics, read};
use crate::support::{DEADLINE, eventually, raise_file_limit};
use crate::tools::publisher::Publisher;

/// How long an attack goes on.
const ATTACK: Duration = Duration::from_secs(6);
/// The time between two broadcasts meanwhile.
const PACE: Duration = Duration::from_millis(50);

/// A server with so few places that some hundred connections take all of them.
fn small_server() -> Server {
    raise_file_limit();
    let limits = [
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_IDLE_TIMEOUT", "10m"),
        ("BIFROST_AUTH_TIMEOUT", "10m"),
    ];
    let launch = limits
        .iter()
        .fold(Launch::serve(), |launch, (name, value)| {
            launch.env(name, *value)
        });
    launch.descriptors(256).start()
}

/// Runs `attack` in a loop while a publisher with one connection, and one with a new connection for
/// each message, broadcast; nothing of either may fail.
fn expect_broadcasts_during(server: &Server, attack: impl Fn() + Sync) {
    let mut alice = server.raw_subscriber(&["a"]);
    let mut kept = Publisher::new(server, 0, "a", 100);
    kept.post(1);
    let is_over = AtomicBool::new(false);
    let mut sent = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                attack();
            }
        });
        let _end = EndOf(&is_over);
        let until = Instant::now() + ATTACK;
        while Instant::now() < until {
            kept.post(1);
            sent += 1;
            let deliveries = server.broadcast("a", &format!(r#"{{"new":{sent}}}"#));
            assert_eq!(deliveries, 1);
            thread::sleep(PACE);
        }
    });
    for _ in 0..2 * sent + 1 {
        let frame = alice.next();
        assert_eq!(frame.first, crate::support::raw::TEXT);
    }
}

/// Ends an attack on every path: a failed test must not wait for it for ever.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects without waiting for a place: the kernel's backlog is enough.
fn connect(server: &Server) -> Option<TcpStream> {
    TcpStream::connect_timeout(&server.address, DEADLINE).ok()
}

#[test]
fn bursts_of_idle_connections_cut_no_publisher() {
    let server = small_server();
    expect_broadcasts_during(&server, || {
        let burst: Vec<_> = (0..400).filter_map(|_| connect(&server)).collect();
        thread::sleep(Duration::from_millis(300));
        drop(burst);
    });
}

#[test]
fn half_requests_cut_no_publisher() {
    let server = small_server();
    let held = parking_lot::Mutex::new(Vec::new());
    expect_broadcasts_during(&server, || {
        if let Some(mut stream) = connect(&server) {
            let _ = stream.write_all(b"POST /broadcast HTTP/1.1\r\nHost: x\r\n"); // it may be cut
            let mut held = held.lock();
            held.push(stream);
            if held.len() > 400 {
                held.remove(0);
            }
        }
        thread::sleep(Duration::from_millis(10));
    });
}

#[test]
fn upgrades_without_a_token_cut_no_publisher() {
    let server = small_server();
    let held = parking_lot::Mutex::new(Vec::new());
    expect_broadcasts_during(&server, || {
        if let Some(mut stream) = connect(&server) {
            let _ = stream.write_all(HANDSHAKE.as_bytes()); // it may be cut
            let mut held = held.lock();
            held.push(stream);
            if held.len() > 400 {
                held.remove(0);
            }
        }
        thread::sleep(Duration::from_millis(5));
    });
}

/// A full server: its places are taken by subscribers, and its reserve is free.
fn full_server(settings: &[(&str, &str)]) -> (ServerWithMetrics, Vec<RawSocket>) {
    const PLACES: usize = 8;
    let mut all = vec![
        ("BIFROST_MAX_CONNECTIONS", "8"),
        ("BIFROST_IDLE_TIMEOUT", "10m"),
        ("BIFROST_PING_INTERVAL", "10m"),
    ];
    all.extend(settings);
    let server = ServerWithMetrics::with(&all);
    let subscribers = (0..PLACES).map(|_| server.raw_subscriber(&["a"])).collect();
    (server, subscribers)
}

/// Reads a little of what a server sends, slowly, until it ends or `is_over`.
fn sip(stream: &mut TcpStream, is_over: &AtomicBool) {
    let pace = Duration::from_millis(100);
    stream.set_read_timeout(Some(pace)).expect("a limit");
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut [0; 100]) {
            Ok(1..) => thread::sleep(pace),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Pipelines requests and takes the answers at 1 KB/s, on so many connections at a time.
fn sip_while(address: std::net::SocketAddr, request: &str, count: usize, act: impl FnOnce()) {
    let (is_over, requests) = (AtomicBool::new(false), request.repeat(50));
    let stalled = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = RawSocket::narrow_stream(address);
                    stream
                        .set_write_timeout(Some(Duration::from_millis(200)))
                        .expect("a limit");
                    // Until nothing more is taken: then the answers fill all buffers.
                    while stream.write_all(requests.as_bytes()).is_ok() {}
                    stalled.fetch_add(1, Ordering::Relaxed);
                    sip(&mut stream, &is_over);
                }
            });
        }
        let _end = EndOf(&is_over);
        eventually("the server waits for the slow takers", || {
            (stalled.load(Ordering::Relaxed) >= count).then_some(())
        });
        act();
    });
}

#[test]
fn slow_takers_of_answers_hold_no_place_of_a_full_server() {
    let (server, mut subscribers) = full_server(&[("BIFROST_WRITE_TIMEOUT", "10m")]);
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    sip_while(server.address, request, 32, || {
        for number in 0..20 {
            assert_eq!(server.get("/healthz").status, 200);
            let message = format!(r#"{{"n":{number}}}"#);
            assert_eq!(server.broadcast("a", &message), 8);
            for subscriber in &mut subscribers {
                subscriber.expect_text(&message);
            }
        }
    });
}

#[test]
fn slow_takers_of_metrics_stop_no_scrape() {
    let (server, _subscribers) = full_server(&[("BIFROST_WRITE_TIMEOUT", "10m")]);
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    sip_while(server.metrics, request, 16, || {
        for _ in 0..20 {
            read(&server.scraper().get("/metrics"));
        }
    });
}

#[test]
fn connections_that_never_pause_stop_no_request() {
    let (server, _subscribers) = full_server(&[("BIFROST_REQUEST_TIMEOUT", "10m")]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let Some(mut stream) = connect(&server) else {
                        continue;
                    };
                    let head =
                        "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
                    let _ = stream.write_all(head.as_bytes()); // it may be cut
                    while !is_over.load(Ordering::Relaxed) {
                        if stream.write_all(&[b' '; 65_536]).is_err() {
                            break;
                        }
                    }
                }
            });
        }
        let _end = EndOf(&is_over);
        for _ in 0..20 {
            assert_eq!(server.get("/healthz").status, 200);
        }
    });
}
