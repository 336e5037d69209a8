//! Descriptors and threads run out: who was there is served, and who comes later as well.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::process::{BINARY, Launch};
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::{raise_file_limit, token};
use crate::tools::publisher::Publisher;
use crate::tools::vitals::{Vitals, expect_idle};

/// Time limits that can't be what ends a flood.
const PATIENT: [(&str, &str); 4] = [
    ("BIFROST_REQUEST_TIMEOUT", "10m"),
    ("BIFROST_IDLE_TIMEOUT", "10m"),
    ("BIFROST_AUTH_TIMEOUT", "10m"),
    ("BIFROST_PING_INTERVAL", "10m"),
];

fn patient(launch: Launch) -> Launch {
    PATIENT
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
}

/// So many connections that say nothing.
fn flood(server: &Server, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(server.address).expect("the kernel takes it");
    (0..count).map(connect).collect()
}

/// Broadcasts arrive at somebody who was there before.
#[track_caller]
fn expect_broadcasts(publisher: &mut Publisher<'_>, alice: &mut RawSocket) {
    for _ in 0..20 {
        let message = publisher.next_message();
        publisher.post_stubbornly();
        alice.expect_text(&message);
    }
}

/// Somebody who comes now is served, with a thread and descriptors of its own.
#[track_caller]
fn expect_newcomer_is_served(server: &Server) {
    let mut bob = server.raw_when_free();
    bob.authenticate(&token::subscriber(&["b"]));
    bob.expect_confirmed(&["b"]);
    assert_eq!(server.broadcast("b", r#"{"n":1}"#), 1);
    bob.expect_text(r#"{"n":1}"#);
}

/// The same flood under every scarcity: while it lasts, after it, and once more.
fn survive_floods(server: &Server, count: usize) {
    raise_file_limit();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(server, 0, "a", 100);
    for _ in 0..2 {
        let crowd = flood(server, count);
        expect_broadcasts(&mut publisher, &mut alice);
        expect_idle(server);
        expect_broadcasts(&mut publisher, &mut alice);
        drop(crowd);
        expect_newcomer_is_served(server);
        expect_broadcasts(&mut publisher, &mut alice);
    }
    alice.expect_nothing();
    drop(alice);
    server.wait_connected(0);
}

#[test]
fn flood_of_400_connections_with_256_descriptors_harms_nobody() {
    let server = patient(Launch::serve()).descriptors(256).start();
    survive_floods(&server, 400);
}

#[test]
fn descriptors_that_run_out_harm_nobody() {
    let server = patient(Launch::serve()).start();
    // Its connection limit always leaves some, so they are taken away behind its back.
    let few = Rlimit {
        current: Some(40),
        maximum: Some(40),
    };
    let pid = Pid::from_raw(server.pid() as i32);
    prlimit(pid, Resource::Nofile, few).expect("lower the file limit of the server");
    survive_floods(&server, 400);
    expect_failures(&server);
}

/// Asserts that accepting failed, so that it was more than the connection limit.
#[track_caller]
fn expect_failures(server: &Server) {
    let log = server.stderr.so_far();
    let failures = log.iter().filter(|line| line.contains("accept failed"));
    assert!(failures.count() >= 1, "nothing ever ran out: {log:#?}");
}

/// A copy of the binary where everybody may run it.
struct PublicCopy {
    path: PathBuf,
}

impl PublicCopy {
    fn new() -> PublicCopy {
        let path = env::temp_dir().join(format!("bifrost-torture-{}", process::id()));
        fs::copy(BINARY, &path).expect("copy the binary");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("let all run it");
        PublicCopy { path }
    }
}

impl Drop for PublicCopy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // left behind in /tmp at worst
    }
}

/// Runs it as somebody without privileges, who may have so many threads in all. The limit
/// does not bind root.
fn with_threads(launch: Launch, binary: &Path, limit: usize) -> Launch {
    let nproc = format!("--nproc={limit}:{limit}");
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    launch
        .instead(binary)
        .under(&user)
        .under(&["prlimit", &nproc])
}

#[test]
fn threads_that_run_out_harm_nobody() {
    let copy = PublicCopy::new();
    let server = with_threads(patient(Launch::serve()), &copy.path, 40).start();
    survive_floods(&server, 100);
    expect_failures(&server);
}

/// Subscribers one by one, until newcomers are dropped for want of a thread.
fn subscribe_until_refused(server: &Server, most: usize) -> Vec<RawSocket> {
    let mut subscribers = Vec::new();
    let mut refused = 0;
    while refused < 5 {
        let mut http = server.http();
        let sent = http.try_send(HANDSHAKE);
        let Some(answer) = sent.then(|| http.try_response()).flatten() else {
            refused += 1;
            continue;
        };
        assert_eq!(answer.status, 101, "{answer:?}");
        let mut raw = RawSocket { http };
        raw.authenticate(&token::subscriber(&["a"]));
        raw.expect_confirmed(&["a"]);
        subscribers.push(raw);
        assert!(subscribers.len() < most, "more subscribers than threads");
    }
    subscribers
}

#[test]
fn subscriber_that_gets_the_last_thread_is_served_by_it() {
    const THREADS: usize = 12;
    let copy = PublicCopy::new();
    let server = with_threads(patient(Launch::serve()), &copy.path, THREADS).start();
    // As long as there is a thread for the newcomer, there needs to be none to move to.
    let mut subscribers = subscribe_until_refused(&server, THREADS);
    let left = subscribers.len() as u64 - 1;
    assert!(left >= 4, "only {left} subscribers with {THREADS} threads");
    assert!(Vitals::of(&server).threads <= THREADS);
    // One goes, so that there is a thread for the request.
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
