//! Replacing the secret of a running server: no connection is closed, and tokens of the previous
//! secret are accepted until that is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use jsonwebtoken::Algorithm;

use crate::support::DEADLINE;
use crate::support::http::{Http, Response};
use crate::support::process::Launch;
use crate::support::reloadable_server::ReloadableServer;
use crate::support::server::{Server, deliveries, post};
use crate::support::token::{publish_claims, sign_with, subscribe_claims};

const OLD: &str = "old-old-old-old-old-old-old-old-old-old-old-old-old-old-old-old-old";
const NEW: &str = "new-new-new-new-new-new-new-new-new-new-new-new-new-new-new-new-new";

fn publisher(secret: &str, message: &str) -> String {
    let claims = publish_claims("a", message);
    sign_with(Algorithm::HS512, secret.as_bytes(), &claims)
}

fn subscriber(secret: &str, channels: &[&str]) -> String {
    let claims = subscribe_claims(channels);
    sign_with(Algorithm::HS512, secret.as_bytes(), &claims)
}

/// A broadcast on a connection that stays open.
fn publish(http: &mut Http, secret: &str, message: &str) -> Response {
    let body = format!(r#"{{"token":"{}"}}"#, publisher(secret, message));
    http.send(post("/broadcast", "application/json", body))
        .response()
}

/// A server that reads both of its secrets from files.
fn serve() -> ReloadableServer {
    ReloadableServer::start(
        Launch::serve()
            .without("JWT_SECRET")
            .env("JWT_SECRET_FILE", "secret")
            .env("JWT_SECRET_PREVIOUS_FILE", "previous")
            .file("secret", format!("{OLD}\n"))
            .file("previous", ""),
    )
}

#[test]
fn rotation_by_file_keeps_every_connection() {
    let mut server = serve();
    let mut keeper = server.http();
    let mut alice = server.connect();
    alice.authenticate(&subscriber(OLD, &["a"]));
    alice.expect_confirmed(&["a"]);
    assert_eq!(deliveries(&publish(&mut keeper, OLD, r#"{"n":1}"#)), 1);
    alice.expect(r#"{"n":1}"#);
    publish(&mut keeper, NEW, "{}").expect_error(400);

    server.write("secret", &format!("{NEW}\n"));
    server.write("previous", &format!("{OLD}\n"));
    let line = server.reload();
    let told = "reloaded JWT_SECRET=changed JWT_SECRET_PREVIOUS=changed";
    assert_eq!(line, told);
    for (secret, message) in [(OLD, r#"{"n":2}"#), (NEW, r#"{"n":3}"#)] {
        assert_eq!(deliveries(&publish(&mut keeper, secret, message)), 1);
        alice.expect(message);
    }
    for (secret, channel) in [(OLD, "b"), (NEW, "c")] {
        alice.authenticate(&subscriber(secret, &[channel]));
        alice.expect_confirmed(&[channel]);
    }

    server.write("previous", "");
    assert_eq!(server.reload(), "reloaded JWT_SECRET_PREVIOUS=changed");
    let sentence = publish(&mut keeper, OLD, "{}").expect_error(400);
    assert_eq!(sentence, "Bad signature");
    assert_eq!(deliveries(&publish(&mut keeper, NEW, r#"{"n":4}"#)), 1);
    alice.expect(r#"{"n":4}"#);
    alice.authenticate(&subscriber(OLD, &["d"]));
    alice.expect_close(4001, "Not Authorized!");
    let log = server.stderr.so_far().concat();
    assert!(
        !log.contains("old-old") && !log.contains("new-new"),
        "{log}"
    );
}

#[test]
fn previous_secret_verifies_from_the_start() {
    let settings = [("JWT_SECRET", NEW), ("JWT_SECRET_PREVIOUS", OLD)];
    let server = Server::with(&settings);
    let mut alice = server.connect();
    alice.authenticate(&subscriber(OLD, &["a"]));
    alice.expect_confirmed(&["a"]);
    assert_eq!(deliveries(&server.post_token(&publisher(OLD, "{}"))), 1);
    assert_eq!(deliveries(&server.post_token(&publisher(NEW, "{}"))), 1);
    let other = publisher(&"x".repeat(64), "{}");
    server.post_token(&other).expect_error(400);
}

#[test]
fn previous_secret_never_signs() {
    let token = Launch::bare()
        .env("JWT_SECRET", NEW)
        .env("JWT_SECRET_PREVIOUS", OLD)
        .args(&["token", "subscribe", "a", "--expires", "never"])
        .run();
    assert_eq!(token.expect_line().matches('.').count(), 2);
    let verdict_with = |secret: &str| {
        let launch = Launch::bare().env("JWT_SECRET", secret);
        launch
            .args(&["token", "inspect", token.expect_line()])
            .run()
            .code
    };
    assert_eq!((verdict_with(NEW), verdict_with(OLD)), (Some(0), Some(1)));
}

#[test]
fn bad_previous_secret_stops_the_start_and_is_not_shown() {
    let refused = |name: &str, value: &str, code, words: &[&str]| {
        let launch = Launch::serve()
            .file("empty", "")
            .file("short", "hush-hush\n");
        let outcome = launch.env(name, value).run();
        outcome.expect_refusal(code, words);
        assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    };
    let (secret, file) = ("JWT_SECRET_PREVIOUS", "JWT_SECRET_PREVIOUS_FILE");
    refused(secret, "hush-hush", 2, &[secret, "9 bytes", "at least 32"]);
    refused(file, "short", 2, &[file, "9 bytes", "at least 32"]);
    refused(file, "nowhere", 1, &[file, "nowhere"]);
    let both = Launch::serve().env(secret, OLD).env(file, "nowhere").run();
    both.expect_refusal(2, &[secret, file, "both"]);
    let flag = "--jwt-secret-previous-file=nowhere";
    let outcome = Launch::serve().args(&["serve", flag]).run();
    outcome.expect_refusal(1, &["--jwt-secret-previous-file", "nowhere"]);
}

#[test]
fn check_and_inspect_know_both_secrets() {
    let launch = || {
        Launch::serve()
            .env("JWT_SECRET", NEW)
            .file("previous", OLD)
            .file("empty", "\n")
    };
    let check = |file: &str| {
        let launch = launch().env("JWT_SECRET_PREVIOUS_FILE", file);
        let outcome = launch.args(&["check"]).run();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let mut lines = outcome.stdout.lines();
        let line = lines.find(|line| line.starts_with("JWT_SECRET_PREVIOUS_FILE"));
        line.expect("a line for it").to_owned()
    };
    assert!(check("previous").contains(&format!("a secret of {} bytes", OLD.len())));
    assert!(check("empty").contains(" none "));
    let inspect = |secret: &str| {
        let token = subscriber(secret, &["a"]);
        let flags = ["token", "inspect", "--jwt-secret-previous-file", "previous"];
        let outcome = launch().args(&flags).args(&[&token]).run();
        (outcome.code, outcome.stdout)
    };
    let (code, text) = inspect(NEW);
    assert!(
        code == Some(0) && text.contains("good: this secret"),
        "{text}"
    );
    let (code, text) = inspect(OLD);
    assert!(
        code == Some(0) && text.contains("good: the previous secret"),
        "{text}"
    );
    let (code, text) = inspect(&"x".repeat(64));
    assert!(
        code == Some(1) && text.contains("nor with the previous one"),
        "{text}"
    );
}

#[test]
fn reloads_under_a_stream_of_broadcasts_lose_none() {
    let mut server = serve();
    let mut alice = server.connect();
    alice.authenticate(&subscriber(OLD, &["a"]));
    alice.expect_confirmed(&["a"]);
    let is_over = Arc::new(AtomicBool::new(false));
    let (end, address) = (is_over.clone(), server.address);
    let stream = thread::spawn(move || {
        let mut http = Http::connect(address);
        let mut count = 0;
        let started = Instant::now();
        while !end.load(Ordering::Relaxed) {
            assert!(started.elapsed() < 2 * DEADLINE, "the reloads do not end");
            let message = format!(r#"{{"n":{count}}}"#);
            assert_eq!(deliveries(&publish(&mut http, OLD, &message)), 1);
            count += 1;
        }
        count
    });
    let mut seen = 0;
    let mut see = |alice: &mut crate::support::subscriber::Subscriber| {
        alice.expect(&format!(r#"{{"n":{seen}}}"#));
        seen += 1;
        seen
    };
    for round in 0..20 {
        // One of the two deliveries is always from the concurrent broadcasts.
        let (now, before) = [(NEW, OLD), (OLD, NEW)][round % 2];
        server.write("secret", now).write("previous", before);
        server.write(".env", &format!("BIFROST_PING_INTERVAL={}s", 20 + round));
        assert!(server.reload().starts_with("reloaded JWT_SECRET=changed"));
        for _ in 0..5 {
            see(&mut alice);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let count = stream.join().expect("no broadcast failed");
    while see(&mut alice) < count {}
    alice.send(r#"{"event":"ping"}"#);
    alice.expect(r#"{"event":"pong"}"#);
}
