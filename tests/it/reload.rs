//! SIGHUP: settings are read again and applied, and every connection stays open.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use jsonwebtoken::Algorithm;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::http::Http;
use crate::support::notify_socket::NotifySocket;
use crate::support::process::Launch;
use crate::support::raw::HANDSHAKE;
use crate::support::reloadable_server::ReloadableServer;
use crate::support::server::{deliveries, post};
use crate::support::token::{self, SECRET, publish_claims, sign_with};
use crate::support::{DEADLINE, eventually};

const PING: u8 = 0x89;

fn serve() -> ReloadableServer {
    ReloadableServer::start(Launch::serve())
}

/// A handshake with a header such as `Origin` or `X-Forwarded-For`.
fn handshake(header: &str) -> String {
    HANDSHAKE.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
}

#[test]
fn reload_without_a_change_is_logged() {
    let mut server = serve();
    for _ in 0..3 {
        assert_eq!(server.reload(), "reloaded, nothing changed");
    }
    assert_eq!(
        server.reload_with("BIFROST_QUEUE=1024KiB\n"),
        "reloaded, nothing changed"
    );
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn changed_settings_are_logged_in_one_line() {
    let mut server = serve();
    let line = server.reload_with(
        "BIFROST_QUEUE=2MiB\nBIFROST_ALLOWED_ORIGINS='https://a.example, https://b.example'\n\
         BIFROST_TRUSTED_PROXIES=10.0.0.0/8\nBIFROST_IDLE_TIMEOUT=1500ms\n",
    );
    assert_eq!(
        line,
        "reloaded BIFROST_TRUSTED_PROXIES=10.0.0.0/8 BIFROST_QUEUE=2MiB \
         BIFROST_IDLE_TIMEOUT=1500ms \
         BIFROST_ALLOWED_ORIGINS=\"https://a.example, https://b.example\""
    );
    server.remove(".env");
    let line = server.reload();
    assert_eq!(
        line,
        "reloaded BIFROST_TRUSTED_PROXIES=none BIFROST_QUEUE=1MiB BIFROST_IDLE_TIMEOUT=75s \
         BIFROST_ALLOWED_ORIGINS=any"
    );
}

#[test]
fn flags_and_environment_still_win_over_dotenv() {
    let launch =
        Launch::serve()
            .env("BIFROST_QUEUE", "2MiB")
            .args(&["serve", "--max-body", "2MiB"]);
    let mut server = ReloadableServer::start(launch);
    let dotenv = "BIFROST_QUEUE=3MiB\nBIFROST_MAX_BODY=3MiB\nBIFROST_DRAIN_TIMEOUT=3s\n";
    assert_eq!(
        server.reload_with(dotenv),
        "reloaded BIFROST_DRAIN_TIMEOUT=3s"
    );
}

#[test]
fn bad_settings_leave_the_old_ones_in_force() {
    let launch = Launch::serve()
        .without("JWT_SECRET")
        .dotenv(&format!("JWT_SECRET={SECRET}\n"));
    let mut server = ReloadableServer::start(launch);
    let mut alice = server.subscriber(&["a"]);
    let mut keeper = server.http();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let broadcast = post("/broadcast", "application/json", body);
    let short = "JWT_SECRET=hush-hush\n";
    let good = &format!("JWT_SECRET={SECRET}\n");
    for (dotenv, words) in [
        (
            format!("{good}BIFROST_QUEUE=lots\n"),
            &["BIFROST_QUEUE (in .env) is \"lots\"; use a size"][..],
        ),
        (
            format!("{good}BIFROST_LOG=loud\n"),
            &["BIFROST_LOG", "loud", "warn, info or debug"],
        ),
        (
            format!("{good}JWT_SECRET_FILE=nowhere\n"),
            &["JWT_SECRET and JWT_SECRET_FILE", "both"],
        ),
        (
            format!("{good}JWT_SECRET_PREVIOUS_FILE=nowhere\n"),
            &["JWT_SECRET_PREVIOUS_FILE", "nowhere"],
        ),
        (format!("{good}nonsense\n"), &[".env has a line"]),
        (
            format!("{good}HOST=a, b\n"),
            &[
                ".env has a line after that of JWT_SECRET that",
                "single quotes",
            ],
        ),
        (short.to_owned(), &["JWT_SECRET", "9 bytes", "at least 32"]),
        (String::new(), &["JWT_SECRET is missing"]),
    ] {
        // The valid settings beside the invalid one must not be applied either.
        let line = server.reload_with(&format!(
            "BIFROST_MAX_BODY=5B\nBIFROST_ALLOWED_ORIGINS=https://a.example\n{dotenv}"
        ));
        let told = "reload failed, the settings stay as they were: ";
        assert!(line.starts_with(told), "{line}");
        for word in words {
            assert!(line.contains(word), "no {word:?}: {line}");
        }
        assert!(!line.contains("hush"), "{line}");
        assert_eq!(deliveries(&keeper.send(&broadcast).response()), 1);
        alice.expect("{}");
        let mut http = server.http();
        http.send(handshake("Origin: https://b.example"));
        assert_eq!(http.response().status, 101);
    }
    let errors = server.stderr.so_far();
    let errors = errors
        .iter()
        .filter(|line| line.contains("ERROR reload failed"));
    assert_eq!(errors.count(), 8);
    assert_eq!(server.reload_with(good), "reloaded, nothing changed");
}

#[test]
fn changed_origins_apply_to_new_connections() {
    let mut server = serve();
    let status = |server: &ReloadableServer, origin: &str| {
        let mut http = server.http();
        http.send(handshake(&format!("Origin: {origin}")));
        http.response().status
    };
    let mut alice = server.subscriber(&["a"]);
    assert_eq!(status(&server, "https://b.example"), 101);
    server.reload_with("BIFROST_ALLOWED_ORIGINS=https://a.example");
    assert_eq!(status(&server, "https://b.example"), 403);
    assert_eq!(status(&server, "https://a.example"), 101);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
}

#[test]
fn changed_algorithm_applies_to_every_connection() {
    let mut server = serve();
    let publish = |server: &ReloadableServer, algorithm| {
        let claims = publish_claims("a", "{}");
        let token = sign_with(algorithm, SECRET.as_bytes(), &claims);
        server.post_token(&token).status
    };
    assert_eq!(
        server.reload_with("JWT_ALGORITHM=HS256"),
        "reloaded JWT_ALGORITHM=HS256"
    );
    assert_eq!(publish(&server, Algorithm::HS256), 200);
    assert_eq!(publish(&server, Algorithm::HS512), 400);
}

#[test]
fn log_level_change_is_logged_in_both_directions() {
    let mut server = serve();
    let connected = |server: &ReloadableServer| {
        server.get("/healthz");
        let lines = server.stderr.so_far();
        lines
            .iter()
            .filter(|line| line.contains("DEBUG connected"))
            .count()
    };
    assert_eq!(
        server.reload_with("BIFROST_LOG=debug"),
        "reloaded BIFROST_LOG=debug"
    );
    eventually("debug lines", || (connected(&server) > 0).then_some(()));
    assert_eq!(
        server.reload_with("BIFROST_LOG=error"),
        "reloaded BIFROST_LOG=error"
    );
    // Lines of before the change may still arrive; connections from here on log nothing.
    let before = server.reload_with("nonsense");
    assert!(before.starts_with("reload failed"), "{before}");
    let count = server.stderr.so_far().len();
    server.get("/healthz");
    server.get("/nowhere");
    server.post_token("x").expect_error(400);
    let line = server.reload_with("BIFROST_LOG=info");
    assert_eq!(line, "reloaded BIFROST_LOG=info");
    assert_eq!(server.stderr.so_far().len(), count + 1);
}

#[test]
fn changed_body_limit_applies_to_open_connections() {
    let mut server = serve();
    let mut keeper = server.http();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let broadcast = post("/broadcast", "application/json", &body);
    assert_eq!(keeper.send(&broadcast).response().status, 200);
    server.reload_with("BIFROST_MAX_BODY=20B");
    keeper.send(&broadcast).response().expect_error(413);
    server.reload_with(&format!("BIFROST_MAX_BODY={}", body.len()));
    assert_eq!(server.ask(&broadcast).status, 200);
}

#[test]
fn request_under_way_keeps_its_body_limit() {
    let mut server = serve();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    let length = body.len();
    let mut http = server.http();
    http.send(format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(http.response().status, 100); // so the server has read the head
    server.reload_with("BIFROST_MAX_BODY=20B");
    assert_eq!(deliveries(&http.send(&body).response()), 0);
    let again = post("/broadcast", "application/json", &body);
    http.send(again).response().expect_error(413);
}

#[test]
fn changed_connection_limits_apply() {
    let mut server = serve();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut bob = server.raw_subscriber(&["a"]);
    let refused = |server: &ReloadableServer, header: &str| {
        let mut http = server.http();
        http.send(handshake(header));
        http.response().expect_error(503)
    };
    server.reload_with("BIFROST_MAX_CONNECTIONS=2");
    assert!(refused(&server, "X: y").contains("full"));
    // Two are open, although they came before there was a limit.
    server.reload_with("BIFROST_MAX_CONNECTIONS_PER_IP=2");
    let sentence = server.http().response().expect_error(503);
    assert!(
        sentence.contains("BIFROST_MAX_CONNECTIONS_PER_IP"),
        "{sentence}"
    );
    server.reload_with("BIFROST_MAX_CONNECTIONS_PER_IP=2\nBIFROST_TRUSTED_PROXIES=127.0.0.1\n");
    let subscribe = |_| {
        let mut http = server.http();
        http.send(handshake("X-Forwarded-For: 192.0.2.7"));
        assert_eq!(http.response().status, 101);
        http
    };
    let behind: Vec<_> = (0..2).map(subscribe).collect();
    let sentence = refused(&server, "X-Forwarded-For: 192.0.2.7");
    assert!(sentence.contains("192.0.2.7 has 2"), "{sentence}");
    server.reload_with("");
    server.raw_subscriber(&["a"]);
    alice.expect_nothing();
    bob.expect_nothing();
    drop(behind);
}

#[test]
fn changed_queue_limit_applies_to_new_subscribers() {
    let mut server = serve();
    let mut old = server.narrow_subscriber(&["a"]);
    let dotenv = "BIFROST_QUEUE=1KiB\nBIFROST_WRITE_TIMEOUT=1h\n";
    server.reload_with(dotenv);
    let _new = server.narrow_subscriber(&["b"]);
    let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(60_000));
    // Far more than the kernel and the new queue hold, and less than the old queue holds.
    let sent = (0..40)
        .take_while(|_| server.broadcast("b", &message) == 1)
        .count();
    assert!(sent < 40, "its queue is as long as before");
    for _ in 0..sent.min(12) {
        assert_eq!(server.broadcast("a", &message), 1);
    }
    for _ in 0..sent.min(12) {
        old.expect_text(&message);
    }
}

#[test]
fn changed_ping_interval_applies_to_new_subscribers_only() {
    let launch = Launch::serve().dotenv("BIFROST_PING_INTERVAL=1h");
    let mut server = ReloadableServer::start(launch);
    let mut old = server.raw_subscriber(&["a"]);
    let line = server.reload_with("BIFROST_PING_INTERVAL=50ms");
    assert_eq!(line, "reloaded BIFROST_PING_INTERVAL=50ms");
    let mut new = server.raw_subscriber(&["b"]);
    new.expect_frame(PING, "");
    // The silent new one is cut after two of its own intervals; the old one stays.
    server.wait_connected(1);
    old.expect_nothing();
    assert_eq!(server.broadcast("a", "{}"), 1);
    old.expect_text("{}");
}

#[test]
fn shutdown_uses_the_newest_drain_timeout() {
    let launch = Launch::serve()
        .env("BIFROST_WRITE_TIMEOUT", "1h")
        .dotenv("BIFROST_DRAIN_TIMEOUT=1h");
    let mut server = ReloadableServer::start(launch);
    let mut mute = server.raw_subscriber(&["a"]);
    server.reload_with("BIFROST_DRAIN_TIMEOUT=100ms");
    server.signal(Signal::TERM);
    mute.expect_close(1012);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.stderr.all();
    assert!(log.contains("limit=100ms"), "{log}");
}

#[test]
fn settings_that_need_a_restart_are_logged_on_every_reload() {
    let launch = Launch::serve().without("HOST").without("PORT");
    let mut server = ReloadableServer::start(launch.dotenv("HOST=127.0.0.1\nPORT=0\n"));
    let dotenv = "HOST=127.0.0.2\nPORT=1\nBIFROST_QUEUE=2MiB\n";
    let restart = "needs_restart=\"HOST=127.0.0.2 PORT=1\"";
    let line = server.reload_with(dotenv);
    assert_eq!(line, format!("reloaded BIFROST_QUEUE=2MiB {restart}"));
    assert_eq!(server.reload(), format!("reloaded {restart}"));
    assert_eq!(server.get("/healthz").status, 200);
    let back = "HOST=127.0.0.1\nPORT=0\nBIFROST_QUEUE=2MiB\n";
    assert_eq!(server.reload_with(back), "reloaded, nothing changed");
}

#[test]
fn warnings_of_new_settings_are_logged() {
    let launch = Launch::serve()
        .without("JWT_SECRET")
        .dotenv(&format!("JWT_SECRET={SECRET}"));
    let mut server = ReloadableServer::start(launch);
    server.reload_with("JWT_SECRET=0123456789abcdef0123456789abcdef");
    server.stderr.wait_for("a warning", |line| {
        line.contains("WARN short secret bytes=32").then_some(())
    });
}

#[test]
fn newest_settings_apply_after_many_signals_in_a_row() {
    let server = serve();
    let mut alice = server.subscriber(&["a"]);
    for size in 1..200 {
        server.write(".env", &format!("BIFROST_QUEUE={size}KiB\n"));
        server.signal(Signal::HUP);
    }
    server.stderr.wait_for("the last of them", |line| {
        line.contains("BIFROST_QUEUE=199KiB").then_some(())
    });
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
    let log = server.stderr.so_far().concat();
    assert!(!log.contains("reload failed"), "{log}");
}

#[test]
fn signal_while_draining_is_ignored() {
    let launch = Launch::serve().env("BIFROST_WRITE_TIMEOUT", "1h");
    let mut server = ReloadableServer::start(launch.env("BIFROST_DRAIN_TIMEOUT", "1h"));
    let mut keeper = server.raw_subscriber(&["a"]);
    server.signal(Signal::TERM);
    keeper.expect_close(1012);
    server
        .write(".env", "BIFROST_QUEUE=lots")
        .signal(Signal::HUP);
    server.stderr.wait_for("that it was ignored", |line| {
        line.contains("reload ignored").then_some(())
    });
    drop(keeper);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!server.stderr.all().contains("reload failed"));
}

#[test]
fn service_manager_is_notified_of_each_reload_and_its_end() {
    let (manager, launch) = NotifySocket::on_path(Launch::serve());
    let mut server = ReloadableServer::start(launch);
    manager.expect("READY=1");
    for dotenv in ["BIFROST_QUEUE=2MiB", "BIFROST_QUEUE=lots"] {
        server.reload_with(dotenv);
        let micros: u64 = manager.wait_for("RELOADING", |line| {
            line.strip_prefix("MONOTONIC_USEC=")?.parse().ok()
        });
        assert!(micros > 0);
        manager.expect("READY=1");
    }
    let _alice = server.subscriber(&["a"]);
    manager.expect("STATUS=connected: 1, channels: 1, deliveries: 0");
}

#[test]
fn demo_keeps_its_secret_unless_one_is_given() {
    let launch = Launch::bare().env("PORT", "0").args(&["demo"]);
    let mut server = ReloadableServer::start(launch);
    let token = |server: &ReloadableServer| {
        let body: Value = server.get("/demo/token").json();
        body["token"].as_str().expect("a token").to_owned()
    };
    let before = token(&server);
    assert_eq!(server.reload(), "reloaded, nothing changed");
    for token in [before, token(&server)] {
        let mut alice = server.connect();
        alice.authenticate(&token);
        alice.expect_confirmed(&["demo"]);
    }
    let line = server.reload_with(&format!("JWT_SECRET={SECRET}"));
    assert_eq!(line, "reloaded JWT_SECRET=changed");
    let mut alice = server.connect();
    alice.authenticate(&token(&server));
    alice.expect_confirmed(&["demo"]);
    server.wait_connected(1); // the others have disconnected
    assert_eq!(server.broadcast("demo", "{}"), 1);
}

#[test]
fn listen_command_ends_with_its_terminal() {
    let server = serve();
    // The tests may run with SIGHUP ignored, as under nohup, and the child would inherit that.
    let command = server.command(&["listen", "a"]);
    let mut listener = command.under(&["env", "--default-signal=HUP"]).spawn();
    server.wait_connected(1);
    listener.signal(Signal::HUP);
    assert_eq!(listener.wait().code(), None); // ended by the signal itself
    let stream = TcpStream::connect(server.address).expect("connect");
    assert_eq!(Http::over(stream).get("/healthz").status, 200);
}

/// A pseudoterminal for the test, and its name.
fn terminal() -> (BufReader<File>, OsString) {
    let terminal =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&terminal).expect("the right to use it");
    unlockpt(&terminal).expect("the right to use it");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let name = OsStr::from_bytes(name.to_bytes()).to_owned();
    (BufReader::new(File::from(terminal)), name)
}

/// Reads a terminal's output up to a line that contains `words`, and returns that.
fn line_with(words: &str, screen: &mut BufReader<File>) -> String {
    let deadline = Instant::now() + DEADLINE;
    let mut line = Vec::new();
    loop {
        if screen.buffer().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a short time");
            let mut descriptors = [PollFd::new(screen.get_ref(), PollFlags::IN)];
            let ready = poll(&mut descriptors, Some(&timeout)).expect("poll the terminal");
            assert_eq!(ready, 1, "no line with {words}");
        }
        let mut byte = [0];
        screen.read_exact(&mut byte).expect("more output");
        line.extend(byte);
        if byte == *b"\n" {
            let text = String::from_utf8_lossy(&line).into_owned();
            if text.contains(words) {
                return text;
            }
            line.clear();
        }
    }
}

#[test]
fn foreground_server_ends_with_its_terminal() {
    for output in ["2>\"$TERMINAL\"", "2>log"] {
        let (mut screen, name) = terminal();
        let script = format!(
            r#"setsid --ctty --wait "$BIFROST" serve <"$TERMINAL" {output}; echo "status $?" >&2"#
        );
        let launch = Launch::serve().env("TERMINAL", name).script(&script);
        let directory = launch.directory().to_owned();
        let server = launch.spawn();
        match output {
            "2>log" => eventually("it listens", || {
                let log = fs::read_to_string(directory.join("log")).ok()?;
                log.contains("listening addr=").then_some(())
            }),
            _ => drop(line_with("listening addr=", &mut screen)),
        }
        drop(screen); // the kernel sends the signal
        server
            .stderr
            .wait_for("its end", |line| (line == "status 0").then_some(()));
    }
}

#[test]
fn server_without_a_terminal_reloads_after_its_output_is_closed() {
    let (mut screen, name) = terminal();
    let launch = Launch::serve().env("TERMINAL", name);
    let server = launch
        .script(r#"exec "$BIFROST" serve 2>"$TERMINAL""#)
        .spawn();
    let line = line_with("listening addr=", &mut screen);
    let (_, address) = line.split_once("addr=").expect("an address");
    let address: SocketAddr = address.trim().parse().expect("an address");
    server.signal(Signal::HUP);
    line_with("reloaded, nothing changed", &mut screen);
    drop(screen);
    server.signal(Signal::HUP);
    let stream = TcpStream::connect(address).expect("connect");
    assert_eq!(Http::over(stream).get("/healthz").status, 200);
}
