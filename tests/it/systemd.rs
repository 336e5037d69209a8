//! The server under systemd: readiness, status, watchdog, socket activation, and the unit files.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use rustix::process::Signal;

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::notify_socket::NotifySocket;
use crate::support::process::Launch;
use crate::support::server::{deliveries, post};
use crate::support::token;

/// Short enough for a test to see several notifications; the server sends one every half of it.
const WATCHDOG_USEC: &str = "1000000";
const FED: &str = "WATCHDOG=1";
/// How long a connection must be idle before a stopping server may close it.
const GRACE: Duration = Duration::from_millis(900);

#[test]
fn ready_is_sent_once_a_request_is_answered() {
    for listen in [NotifySocket::on_path, NotifySocket::on_abstract_name] {
        let (manager, launch) = listen(Launch::serve());
        let server = launch.start();
        manager.expect("READY=1");
        server
            .get("/healthz")
            .expect_json(200, r#"{"status":"ok"}"#);
    }
}

#[test]
fn status_follows_the_counts() {
    let (manager, launch) = NotifySocket::on_path(Launch::serve());
    let server = launch.start();
    manager.expect("STATUS=connected: 0, channels: 0, deliveries: 0");
    let mut alice = server.subscriber(&["a", "b"]);
    manager.expect("STATUS=connected: 1, channels: 2, deliveries: 0");
    assert_eq!(server.broadcast("a", "{}"), 1);
    manager.expect("STATUS=connected: 1, channels: 2, deliveries: 1");
    alice.expect("{}");
    alice.leave();
    manager.expect("STATUS=connected: 0, channels: 0, deliveries: 1");
}

#[test]
fn stopping_is_sent_with_the_time_it_may_take() {
    for signal in [Signal::TERM, Signal::INT] {
        let launch = Launch::serve().env("BIFROST_DRAIN_TIMEOUT", "60s");
        let (manager, launch) = NotifySocket::on_path(launch);
        let mut server = launch.start();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        let said = manager.rest();
        let stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000\nSTATUS=Draining";
        assert!(said.contains(&stopping.to_owned()), "{said:?}");
    }
}

#[test]
fn watchdog_is_notified_repeatedly() {
    let (manager, launch) =
        NotifySocket::on_path(Launch::serve().env("WATCHDOG_USEC", WATCHDOG_USEC));
    let _server = launch.start();
    (0..4).for_each(|_| manager.expect(FED));
}

#[test]
fn watchdog_of_another_process_is_not_notified() {
    let launch = Launch::serve()
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let (manager, launch) = NotifySocket::on_path(launch);
    let mut server = launch.start();
    let _alice = server.subscriber(&["a"]);
    manager.expect("STATUS=connected: 1, channels: 1, deliveries: 0");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!manager.rest().contains(&FED.to_owned()));
}

#[test]
fn watchdog_is_not_notified_while_the_port_does_not_answer() {
    let launch = Launch::serve()
        .env("WATCHDOG_USEC", WATCHDOG_USEC)
        .env("BIFROST_REQUEST_TIMEOUT", "1h")
        .descriptors(20);
    let (manager, launch) = NotifySocket::on_path(launch);
    let server = launch.start();
    manager.expect(FED);
    // More connections than file descriptors, so that the server cannot accept any more.
    let clients: Vec<_> = (0..50).map(|_| server.http()).collect();
    let mut silences = 0;
    let mut wait_for_silences = |count: usize| {
        server.stderr.wait_for("watchdog not fed", |line| {
            silences += usize::from(line.contains("watchdog not fed"));
            (silences >= count).then_some(())
        });
        silences = 0;
    };
    wait_for_silences(1);
    manager.rest();
    wait_for_silences(3); // the first, and two more
    assert!(!manager.rest().contains(&FED.to_owned()));
    drop(clients);
    manager.expect(FED);
}

#[test]
fn missing_notify_socket_does_not_stop_the_server() {
    for socket in ["/nowhere/notify", "@bifrost-it-nobody", "notify"] {
        let launch = Launch::serve()
            .env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", WATCHDOG_USEC);
        let mut server = launch.start();
        server.stderr.wait_for("notify failed", |line| {
            line.contains("notify failed").then_some(())
        });
        assert_eq!(server.broadcast("a", "{}"), 0);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// A listening socket as systemd would bind it, and its address.
fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    let address = socket.local_addr().expect("it has an address");
    (socket, address)
}

fn serve_on(socket: &TcpListener) -> Launch {
    Launch::serve().hand_over(socket.try_clone().expect("clone the socket"))
}

#[test]
fn inherited_socket_is_served_and_host_and_port_are_not_bound() {
    let (socket, address) = socket();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    let port = taken.local_addr().expect("it has an address").port();
    let server = serve_on(&socket).env("PORT", port.to_string()).start();
    assert_eq!(server.address, address);
    server.stderr.wait_for("socket inherited", |line| {
        line.contains("socket inherited unused=\"HOST, PORT\"")
            .then_some(())
    });
    let mut alice = server.subscriber(&["a"]);
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 1);
    alice.expect(r#"{"n":1}"#);
}

#[test]
fn inherited_socket_gets_the_options_of_a_bound_one() {
    let (socket, _) = socket();
    let _server = serve_on(&socket).start();
    assert_eq!(sockopt::tcp_nodelay(&socket), Ok(true));
    assert_eq!(sockopt::socket_keepalive(&socket), Ok(true));
    assert_eq!(
        sockopt::socket_send_buffer_size(&socket),
        Ok(2 * 128 * 1024)
    );
}

#[test]
fn anything_but_one_listening_socket_is_refused() {
    let refused = |launch: Launch, words: &[&str]| launch.run().expect_refusal(1, words);
    let (listening, _) = socket();
    refused(
        serve_on(&listening).env("LISTEN_FDS", "2"),
        &["LISTEN_FDS", "\"2\"", "one ListenStream="],
    );
    refused(
        serve_on(&listening).env("LISTEN_FDS", "some"),
        &["LISTEN_FDS", "\"some\""],
    );
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bind a free port");
    refused(Launch::serve().hand_over(datagrams), &["not a TCP socket"]);
    let launch = Launch::serve();
    let path = UnixListener::bind(launch.directory().join("socket")).expect("bind a path");
    refused(launch.hand_over(path), &["not a TCP socket"]);
    let connected = std::net::TcpStream::connect(listening.local_addr().expect("an address"));
    refused(
        Launch::serve().hand_over(connected.expect("connect")),
        &["does not listen", "Accept=no"],
    );
}

#[test]
fn inherited_socket_of_another_process_is_ignored() {
    let server = Launch::serve()
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1")
        .start();
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn connection_between_two_processes_is_served_by_the_next() {
    let (socket, address) = socket();
    let mut first = serve_on(&socket).start();
    let mut alice = first.subscriber(&["a"]);
    first.signal(Signal::TERM);
    alice.expect_close(1012, "Service restart");
    assert_eq!(first.wait().code(), Some(0));

    let mut early = Http::connect(address);
    early.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    early.expect_silence(Duration::from_millis(50));
    let second = serve_on(&socket).start();
    early.response().expect_json(200, r#"{"status":"ok"}"#);
    let mut alice = second.subscriber(&["a"]);
    assert_eq!(second.broadcast("a", r#"{"n":1}"#), 1);
    alice.expect(r#"{"n":1}"#);
}

#[test]
fn connection_during_draining_is_served_by_the_next_process() {
    let (socket, address) = socket();
    let patient = |launch: Launch| launch.env("BIFROST_WRITE_TIMEOUT", "60s");
    let mut first = patient(serve_on(&socket).env("BIFROST_DRAIN_TIMEOUT", "60s")).start();
    let mut keeper = first.raw_subscriber(&["a"]);
    first.signal(Signal::TERM);
    keeper.expect_close(1012);
    let mut early = Http::connect(address);
    early.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    early.expect_silence(Duration::from_millis(50));
    drop(keeper);
    assert_eq!(first.wait().code(), Some(0));
    let _second = serve_on(&socket).start();
    early.response().expect_json(200, r#"{"status":"ok"}"#);
}

/// A thread that broadcasts until it is told to end, and counts the answers.
struct BroadcastLoop {
    answered: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    publisher: JoinHandle<()>,
}

impl BroadcastLoop {
    /// Calls `publish`, which panics when a broadcast fails, in a loop until `end`.
    fn of(mut publish: impl FnMut() + Send + 'static) -> BroadcastLoop {
        let (answered, is_over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (answered.clone(), is_over.clone());
        let publisher = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                publish();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        BroadcastLoop {
            answered,
            is_over,
            publisher,
        }
    }

    /// Waits until `count` more broadcasts have been answered.
    fn go_on_for(&self, count: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        eventually("the broadcasts go on", || {
            let is_broken = self.publisher.is_finished();
            (is_broken || self.answered.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.publisher.join().expect("no broadcast failed");
    }
}

/// Sends a request on an open connection; returns whether its response announces a close. `None` if
/// the server closed the connection, which it may only after it was idle for longer than `GRACE`.
fn ask(http: &mut Http, since: Instant, request: &[u8]) -> Option<bool> {
    let went = http.try_send(request);
    let was_idle = since.elapsed() > GRACE;
    match went.then(|| http.try_response()).flatten() {
        Some(response) => {
            deliveries(&response);
            Some(response.lists("connection", "close"))
        }
        None => {
            assert!(
                was_idle,
                "the server closed the connection during a request"
            );
            None
        }
    }
}

/// Makes a function that broadcasts on a new connection each time.
fn publish_on_new_connections(address: SocketAddr, request: Vec<u8>) -> impl FnMut() + Send {
    move || {
        let is_answered = || {
            let since = Instant::now();
            ask(&mut Http::connect(address), since, &request)
        };
        eventually("a broadcast is answered", is_answered);
    }
}

/// Makes a function that broadcasts on one connection, until the server announces that it closes
/// it, or has closed it between two requests.
fn publish_on_one_connection(address: SocketAddr, request: Vec<u8>) -> impl FnMut() + Send {
    let mut open: Option<(Http, Instant)> = None;
    move || {
        eventually("a broadcast is answered", || {
            let now = Instant::now();
            let (mut http, since) = open.take().unwrap_or_else(|| (Http::connect(address), now));
            if http.is_closed_within(Duration::from_millis(1)) {
                return None;
            }
            let is_last = ask(&mut http, since, &request)?;
            open = (!is_last).then(|| (http, Instant::now()));
            Some(())
        });
    }
}

#[test]
fn no_broadcast_fails_over_restarts() {
    let (socket, address) = socket();
    let mut server = serve_on(&socket).start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let request = post("/broadcast", "application/json", body);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(BroadcastLoop::of(publish_on_new_connections(
            address,
            request.clone(),
        )));
        streams.push(BroadcastLoop::of(publish_on_one_connection(
            address,
            request.clone(),
        )));
    }
    for _ in 0..4 {
        let mut alice = server.subscriber(&["b"]);
        streams.iter().for_each(|stream| stream.go_on_for(30));
        server.signal(Signal::TERM);
        alice.expect_close(1012, "Service restart");
        assert_eq!(server.wait().code(), Some(0));
        server = serve_on(&socket).start();
        streams.iter().for_each(|stream| stream.go_on_for(30));
    }
    streams.into_iter().for_each(BroadcastLoop::end);
}

fn unit(arguments: &[&str]) -> String {
    let outcome = Launch::bare().args(&["unit"]).args(arguments).run();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.stdout
}

#[test]
fn units_are_printed_as_they_are_in_the_repository() {
    let (service, socket) = (unit(&["service"]), unit(&["socket"]));
    assert_eq!(
        service,
        include_str!("../../src/server/systemd/bifrost.service")
    );
    assert_eq!(
        socket,
        include_str!("../../src/server/systemd/bifrost.socket")
    );
    let both = unit(&[]);
    assert_eq!(
        both,
        format!("# bifrost.service\n{service}\n# bifrost.socket\n{socket}")
    );
    Launch::bare()
        .args(&["unit", "timer"])
        .run()
        .expect_refusal(2, &["timer", "service", "socket"]);
}

#[test]
fn unit_gives_the_server_longer_to_stop_than_it_takes() {
    let help = Command::new(env!("CARGO_BIN_EXE_bifrost"))
        .arg("--help")
        .output()
        .expect("run the binary");
    let help = String::from_utf8(help.stdout).expect("help is UTF-8");
    assert!(help.contains("Longest time for shutting down [default: 10s] [BIFROST_DRAIN_TIMEOUT]"));
    assert!(unit(&["service"]).contains("\nTimeoutStopSec=15s\n"));
}
