//! Jumps of the wall clock: `exp` and `nbf` follow it, every other time limit does not.
//!
//! libfaketime gives the server the time of day from a file; the monotonic clock stays true.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{CLOSE, RawSocket};
use crate::support::server::{Server, deliveries};
use crate::support::token::{now, sign};
use crate::support::{DEADLINE, eventually};

const HOUR: u64 = 3600;

/// A server whose wall clock can be set.
struct FakeClock {
    server: Server,
    offset: PathBuf,
}

impl FakeClock {
    fn start(settings: &[(&str, &str)]) -> FakeClock {
        let launch = Launch::serve().file("clock", "+0");
        let offset = launch.directory().join("clock");
        let launch = launch
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let server = settings
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(name, value))
            .start();
        FakeClock { server, offset }
    }

    /// Sets the server's clock to so many hours from the true time, and waits until it applies.
    fn set(&self, hours: i64) {
        // Renamed into place, so that the server never reads a part of it.
        let draft = self.offset.with_extension("draft");
        fs::write(&draft, format!("{hours:+}h")).expect("write the offset");
        fs::rename(&draft, &self.offset).expect("put the offset in place");
        let fake_time = now().wrapping_add_signed(hours * HOUR as i64);
        eventually("the clock is set", || {
            let applies = self.accepts(fake_time - HOUR / 2, fake_time + HOUR / 2);
            applies.then_some(())
        });
    }

    /// Whether the server accepts a token with these times now.
    fn accepts(&self, nbf: u64, exp: u64) -> bool {
        let claims = format!(r#"{{"channel":"none","message":{{}},"nbf":{nbf},"exp":{exp}}}"#);
        let response = self.server.post_token(&sign(&claims));
        if response.status == 200 {
            return deliveries(&response) == 0;
        }
        response.expect_json(400, r#"{"error":"Bad signature"}"#);
        false
    }
}

/// The path of libfaketime: Debian has it in a folder named after the architecture.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a /usr/lib");
    let libraries = folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .into_iter()
        .find(|path| Path::exists(path))
        .expect("libfaketimeMT.so.1 is missing; run tests/torture/install")
}

/// A connection in each state that has a time limit.
struct Connections {
    subscriber: RawSocket,
    unauthenticated: RawSocket,
    idle: Http,
    half_head: Http,
    silent: Http,
}

impl Connections {
    fn open(server: &Server) -> Connections {
        let mut idle = server.http();
        idle.get("/healthz");
        let mut half_head = server.http();
        half_head.send("GET /healthz HTTP/1.1\r\nHo");
        Connections {
            subscriber: server.raw_subscriber(&["a"]),
            unauthenticated: server.raw(),
            idle,
            half_head,
            silent: server.http(),
        }
    }

    /// Asserts that all are open and served. Each stays in its state.
    #[track_caller]
    fn expect_all_open(&mut self, server: &Server) {
        assert_eq!(server.broadcast("a", "{}"), 1);
        self.subscriber.expect_text("{}");
        self.subscriber.expect_nothing();
        self.unauthenticated.expect_nothing();
        assert_eq!(self.idle.get("/healthz").status, 200);
        self.half_head
            .send("st: x\r\n\r\nGET /healthz HTTP/1.1\r\nHo");
        assert_eq!(self.half_head.response().status, 200);
        self.silent.expect_silence(Duration::from_millis(200));
    }
}

#[test]
fn clock_jumps_reach_no_time_limit() {
    // Much longer than the test takes, and shorter than each jump.
    let limits = [
        "BIFROST_PING_INTERVAL",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
        "BIFROST_WRITE_TIMEOUT",
    ];
    let clock = FakeClock::start(&limits.map(|name| (name, "20m")));
    let server = &clock.server;
    let mut connections = Connections::open(server);
    for hours in [0, 5, -5, 30, -1, 0] {
        clock.set(hours);
        connections.expect_all_open(server);
    }
    let uptime = server.stats().info["uptime_seconds"].as_u64();
    assert!(uptime < Some(HOUR), "{uptime:?}");
}

#[test]
fn every_time_limit_is_reached_after_a_clock_jump() {
    let limits = [
        "BIFROST_PING_INTERVAL",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
    ];
    let clock = FakeClock::start(&limits.map(|name| (name, "3s")));
    let server = &clock.server;
    for hours in [-5, 5, -30] {
        let Connections {
            subscriber,
            mut unauthenticated,
            mut idle,
            mut half_head,
            mut silent,
        } = Connections::open(server);
        clock.set(hours);
        half_head.response().expect_error(408);
        idle.expect_closed();
        silent.expect_closed();
        // The subscriber answers no ping.
        let mut http = subscriber.http;
        http.drain();
        let deadline = Instant::now() + DEADLINE;
        while unauthenticated.next().first != CLOSE {
            assert!(Instant::now() < deadline, "pinged on, but never closed");
        }
        server.wait_connected(0);
    }
}

#[test]
fn token_times_follow_the_wall_clock() {
    let clock = FakeClock::start(&[]);
    let true_time = now();
    for (hours, then) in [
        (5, true_time + 5 * HOUR),
        (-5, true_time - 5 * HOUR),
        (0, true_time),
    ] {
        clock.set(hours);
        assert!(clock.accepts(then - HOUR, then + HOUR));
        assert!(!clock.accepts(then - 2 * HOUR, then - HOUR), "{hours}");
        assert!(!clock.accepts(then + HOUR, then + 2 * HOUR), "{hours}");
        for (claim, is_valid) in [("exp", true), ("nbf", false)] {
            let later = then + HOUR;
            let mut raw = clock.server.raw();
            raw.authenticate(&sign(&format!(r#"{{"channels":["a"],"{claim}":{later}}}"#)));
            if is_valid {
                raw.expect_confirmed(&["a"]);
            } else {
                raw.expect_close(4001);
            }
        }
    }
}
