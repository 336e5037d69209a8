//! Descriptors and threads run out: connected and new clients are served all the same. And what the
//! server's own user may not do.

use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::process::{BINARY, Launch};
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::server_with_metrics::{ANYWHERE, ServerWithMetrics};
use crate::support::{raise_file_limit, token};
use crate::tools::proc_stats::{ProcStats, expect_idle};
use crate::tools::publisher::Publisher;

/// Time limits too long to close any connection of a flood.
const LONG_TIMEOUTS: [(&str, &str); 4] = [
    ("BIFROST_REQUEST_TIMEOUT", "10m"),
    ("BIFROST_IDLE_TIMEOUT", "10m"),
    ("BIFROST_AUTH_TIMEOUT", "10m"),
    ("BIFROST_PING_INTERVAL", "10m"),
];

fn with_long_timeouts(launch: Launch) -> Launch {
    LONG_TIMEOUTS
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
}

/// Opens so many connections that send nothing.
fn flood(server: &Server, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(server.address).expect("connect");
    (0..count).map(connect).collect()
}

/// Asserts that broadcasts reach a subscriber that connected before.
#[track_caller]
fn expect_broadcasts(publisher: &mut Publisher<'_>, alice: &mut RawSocket) {
    for _ in 0..20 {
        let message = publisher.next_message();
        publisher.post_with_retry();
        alice.expect_text(&message);
    }
}

/// Asserts that a new client can subscribe, which takes a thread and descriptors.
#[track_caller]
fn expect_new_client_is_served(server: &Server) {
    let mut bob = server.raw_when_free();
    bob.authenticate(&token::subscriber(&["b"]));
    bob.expect_confirmed(&["b"]);
    assert_eq!(server.broadcast("b", r#"{"n":1}"#), 1);
    bob.expect_text(r#"{"n":1}"#);
}

/// Asserts that the server serves its clients during a flood and after it, twice.
fn survive_floods(server: &Server, count: usize) {
    raise_file_limit();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(server, 0, "a", 100);
    for _ in 0..2 {
        let connections = flood(server, count);
        expect_broadcasts(&mut publisher, &mut alice);
        expect_idle(server);
        expect_broadcasts(&mut publisher, &mut alice);
        drop(connections);
        expect_new_client_is_served(server);
        expect_broadcasts(&mut publisher, &mut alice);
    }
    alice.expect_nothing();
    drop(alice);
    server.wait_connected(0);
}

#[test]
fn flood_of_400_connections_with_256_descriptors_disturbs_no_client() {
    let server = with_long_timeouts(Launch::serve()).descriptors(256).start();
    survive_floods(&server, 400);
}

#[test]
fn descriptor_exhaustion_disturbs_no_client() {
    let server = with_long_timeouts(Launch::serve()).start();
    // The server derives its connection limit from the file limit at the start; only a file limit
    // lowered later lets descriptors run out.
    let few = Rlimit {
        current: Some(40),
        maximum: Some(40),
    };
    let pid = Pid::from_raw(server.pid() as i32);
    prlimit(pid, Resource::Nofile, few).expect("lower the file limit of the server");
    survive_floods(&server, 400);
    expect_accept_failures(&server);
}

/// Asserts that accepting failed: that descriptors or threads did run out.
#[track_caller]
fn expect_accept_failures(server: &Server) {
    let log = server.stderr.so_far();
    let failures = log.iter().filter(|line| line.contains("accept failed"));
    assert!(failures.count() >= 1, "nothing ran out: {log:#?}");
}

/// A copy of the binary that every user may run.
struct PublicCopy {
    path: PathBuf,
}

impl PublicCopy {
    fn new() -> PublicCopy {
        let path = env::temp_dir().join(format!("bifrost-torture-{}", process::id()));
        fs::copy(BINARY, &path).expect("copy the binary");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
        PublicCopy { path }
    }
}

impl Drop for PublicCopy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // left behind in /tmp at worst
    }
}

/// Runs a command as an unprivileged user.
const UNPRIVILEGED: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// Runs the server as an unprivileged user with so many threads in all: root is exempt from the
/// limit.
fn with_threads(launch: Launch, binary: &Path, limit: usize) -> Launch {
    let nproc = format!("--nproc={limit}:{limit}");
    launch
        .instead(binary)
        .under(&UNPRIVILEGED)
        .under(&["prlimit", &nproc])
}

/// The secret is in the memory: neither a core dump nor another program of the same user gets it.
#[test]
fn memory_of_the_server_is_not_for_others_of_its_user() {
    let copy = PublicCopy::new();
    let launch = Launch::serve().env(ANYWHERE.0, ANYWHERE.1);
    let server = ServerWithMetrics::over(with_threads(launch, &copy.path, 40).start());
    // The kernel gives the files of a process that can't be dumped to root (proc_pid(5)).
    let owner = |file: &str| {
        let path = format!("/proc/{}/{file}", server.pid());
        fs::metadata(path).expect("a file of the server").uid()
    };
    assert_eq!((owner("mem"), owner("maps")), (0, 0));
    // The server itself can still read what it needs.
    let scrape = server.scrape();
    for name in [
        "process_open_fds",
        "process_threads",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(scrape.value(name) > 0.0, "{name}");
    }
}

/// A server without privileges, whose limit of threads is lowered after its start: from the limit at
/// the start it derives how many connections it takes.
fn server_short_of_threads(copy: &PublicCopy, limit: u64) -> Server {
    let launch = with_long_timeouts(Launch::serve());
    let server = with_threads(launch, &copy.path, 1_000).start();
    let [setpriv, as_user @ ..] = UNPRIVILEGED;
    let lowered = Command::new(setpriv)
        .args(as_user)
        .arg("prlimit")
        .arg(format!("--pid={}", server.pid()))
        .arg(format!("--nproc={limit}:{limit}"))
        .status()
        .expect("run prlimit");
    assert!(lowered.success(), "lower the thread limit of the server");
    server
}

#[test]
fn thread_exhaustion_disturbs_no_client() {
    let copy = PublicCopy::new();
    let server = server_short_of_threads(&copy, 40);
    survive_floods(&server, 100);
    expect_accept_failures(&server);
}

#[test]
fn newcomers_get_the_threads_of_idle_connections() {
    const THREADS: u64 = 40;
    let copy = PublicCopy::new();
    let server = server_short_of_threads(&copy, THREADS);
    let _idle = flood(&server, 200);
    let mut alice = server.raw_subscriber(&["a"]);
    for number in 0..20 {
        assert_eq!(server.get("/healthz").status, 200, "request {number}");
        let message = format!(r#"{{"n":{number}}}"#);
        assert_eq!(server.broadcast("a", &message), 1);
        alice.expect_text(&message);
    }
    assert!(ProcStats::of(&server).threads as u64 <= THREADS);
}

#[test]
fn limit_of_connections_follows_from_the_limit_of_threads() {
    let copy = PublicCopy::new();
    let launch = Launch::serve()
        .env(ANYWHERE.0, ANYWHERE.1)
        .env("BIFROST_MAX_CONNECTIONS", "5000");
    let server = ServerWithMetrics::over(with_threads(launch, &copy.path, 300).start());
    let limit = server.scrape().value("bifrost_connections_limit");
    assert!((100.0..300.0).contains(&limit), "{limit}");
    let log = server.stderr.so_far();
    let is_named = |line: &String| line.contains("processes") && line.contains("LimitNPROC");
    assert!(log.iter().any(is_named), "{log:#?}");
}

/// Connects subscribers one by one, until the server has refused five connections for which it had
/// no thread.
fn subscribe_until_rejected(server: &Server, most: usize) -> Vec<RawSocket> {
    let mut subscribers = Vec::new();
    let mut rejected = 0;
    while rejected < 5 {
        let mut http = server.http();
        let sent = http.try_send(HANDSHAKE);
        let response = sent.then(|| http.try_response()).flatten();
        let Some(response) = response.filter(|response| response.status != 503) else {
            rejected += 1;
            continue;
        };
        assert_eq!(response.status, 101, "{response:?}");
        let mut raw = RawSocket { http };
        raw.authenticate(&token::subscriber(&["a"]));
        raw.expect_confirmed(&["a"]);
        subscribers.push(raw);
        assert!(subscribers.len() < most, "more subscribers than threads");
    }
    subscribers
}

#[test]
fn last_free_thread_serves_a_subscriber() {
    const THREADS: usize = 12;
    let copy = PublicCopy::new();
    let server = server_short_of_threads(&copy, THREADS as u64);
    // A connection that gets a thread needs no second one to become a subscriber.
    let mut subscribers = subscribe_until_rejected(&server, THREADS);
    let left = subscribers.len() as u64 - 1;
    assert!(left >= 4, "only {left} subscribers with {THREADS} threads");
    assert!(ProcStats::of(&server).threads <= THREADS);
    // One subscriber closes, which frees a thread for the request.
    drop(subscribers.pop());
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    for _ in 0..3 {
        let message = publisher.next_message();
        publisher.post(left);
        for subscriber in &mut subscribers {
            subscriber.expect_text(&message);
        }
    }
}
