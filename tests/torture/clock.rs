//! The wall clock jumps: only `exp` and `nbf` follow it, and every other limit goes on.
//!
//! libfaketime answers the server's questions for the time of day from a file; the clock that
//! only ever goes forward stays the true one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{CLOSE, RawSocket};
use crate::support::server::{Server, deliveries};
use crate::support::token::{now, sign};

const HOUR: u64 = 3600;

/// A server whose wall clock can be set.
struct Clockwork {
    server: Server,
    offset: PathBuf,
}

impl Clockwork {
    fn start(settings: &[(&str, &str)]) -> Clockwork {
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
        Clockwork { server, offset }
    }

    /// Sets its clock to so many hours from the true time, and sees that it has noticed.
    fn set(&self, hours: i64) {
        // In one step, so that the server never reads half of it.
        let draft = self.offset.with_extension("draft");
        fs::write(&draft, format!("{hours:+}h")).expect("write the offset");
        fs::rename(&draft, &self.offset).expect("put the offset in place");
        let there = now().wrapping_add_signed(hours * HOUR as i64);
        eventually("its clock is set", || {
            let around = self.takes(there - HOUR / 2, there + HOUR / 2);
            around.then_some(())
        });
    }

    /// Whether a token with these limits is good now.
    fn takes(&self, begins: u64, ends: u64) -> bool {
        let claims = format!(r#"{{"channel":"none","message":{{}},"nbf":{begins},"exp":{ends}}}"#);
        let response = self.server.post_token(&sign(&claims));
        match response.status {
            200 => deliveries(&response) == 0,
            _ => {
                response.expect_json(400, r#"{"error":"Bad signature"}"#);
                false
            }
        }
    }
}

/// Debian keeps it in a folder named after the processor.
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

/// Somebody in every state that a time limit watches.
struct Everybody {
    subscriber: RawSocket,
    stranger: RawSocket,
    idle: Http,
    half_head: Http,
    silent: Http,
}

impl Everybody {
    fn come(server: &Server) -> Everybody {
        let mut idle = server.http();
        idle.get("/healthz");
        let mut half_head = server.http();
        half_head.send("GET /healthz HTTP/1.1\r\nHo");
        Everybody {
            subscriber: server.raw_subscriber(&["a"]),
            stranger: server.raw(),
            idle,
            half_head,
            silent: server.http(),
        }
    }

    /// All go on as if nothing had happened. The stranger and the silent one stay as they are.
    #[track_caller]
    fn expect_all_there(&mut self, server: &Server) {
        assert_eq!(server.broadcast("a", "{}"), 1);
        self.subscriber.expect_text("{}");
        self.subscriber.expect_nothing();
        self.stranger.expect_nothing();
        assert_eq!(self.idle.get("/healthz").status, 200);
        self.half_head
            .send("st: x\r\n\r\nGET /healthz HTTP/1.1\r\nHo");
        assert_eq!(self.half_head.response().status, 200);
        self.silent.expect_silence(Duration::from_millis(200));
    }
}

#[test]
fn no_limit_is_reached_when_the_clock_jumps() {
    // Far from being reached, but not far from hours.
    let limits = [
        "BIFROST_PING_INTERVAL",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
        "BIFROST_WRITE_TIMEOUT",
    ];
    let clockwork = Clockwork::start(&limits.map(|name| (name, "20m")));
    let server = &clockwork.server;
    let mut everybody = Everybody::come(server);
    for hours in [0, 5, -5, 30, -1, 0] {
        clockwork.set(hours);
        everybody.expect_all_there(server);
    }
    let uptime = server.stats().info["uptime_seconds"].as_u64();
    assert!(uptime < Some(HOUR), "{uptime:?}");
}

#[test]
fn every_limit_is_reached_although_the_clock_was_set_back() {
    let limits = [
        "BIFROST_PING_INTERVAL",
        "BIFROST_AUTH_TIMEOUT",
        "BIFROST_REQUEST_TIMEOUT",
        "BIFROST_IDLE_TIMEOUT",
    ];
    let clockwork = Clockwork::start(&limits.map(|name| (name, "3s")));
    let server = &clockwork.server;
    for hours in [-5, 5, -30] {
        let Everybody {
            subscriber,
            mut stranger,
            mut idle,
            mut half_head,
            mut silent,
        } = Everybody::come(server);
        clockwork.set(hours);
        half_head.response().expect_error(408);
        idle.expect_closed();
        silent.expect_closed();
        // It answers no ping; those who do are pinged on.
        let mut http = subscriber.http;
        http.drain();
        while stranger.next().first != CLOSE {}
        server.wait_connected(0);
    }
}

#[test]
fn tokens_follow_the_clock() {
    let clockwork = Clockwork::start(&[]);
    let true_time = now();
    for (hours, then) in [
        (5, true_time + 5 * HOUR),
        (-5, true_time - 5 * HOUR),
        (0, true_time),
    ] {
        clockwork.set(hours);
        assert!(clockwork.takes(then - HOUR, then + HOUR));
        assert!(!clockwork.takes(then - 2 * HOUR, then - HOUR), "{hours}");
        assert!(!clockwork.takes(then + HOUR, then + 2 * HOUR), "{hours}");
        for (claim, is_good) in [("exp", true), ("nbf", false)] {
            let later = then + HOUR;
            let mut raw = clockwork.server.raw();
            raw.authenticate(&sign(&format!(r#"{{"channels":["a"],"{claim}":{later}}}"#)));
            match is_good {
                true => raw.expect_confirmed(&["a"]),
                false => drop(raw.expect_close(4001)),
            }
        }
    }
}
