//! Floods of bad tokens: counted, seldom logged, no oracle, and no hindrance for good ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use crate::support::eventually;
use crate::support::raw::{RawSocket, TEXT, event, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::token::{self, SECRET, now, sign, sign_parts, sign_with};
use crate::tools::publisher::Publisher;
use crate::tools::vitals::Vitals;

/// Every way for a token not to be good, with these claims.
fn bad_tokens(claims: &str) -> Vec<String> {
    let good = sign(claims);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let (header, payload) = signed.split_once('.').expect("a payload");
    let timed = |time: String| format!("{},{time}}}", &claims[..claims.len() - 1]);
    let flipped = {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        bytes[63] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let by_header = |header: &str, algorithm| {
        sign_parts(header, claims.as_bytes(), SECRET.as_bytes(), algorithm)
    };
    vec![
        format!("{signed}.{flipped}"),
        format!("{signed}.{}", &signature[..40]),
        format!("{signed}."),
        format!("{signed}.{signature}="),
        format!("{signed}.{signature}.x"),
        signed.to_owned(),
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{}")),
        format!("{header}x.{payload}.{signature}"),
        format!("{payload}.{header}.{signature}"),
        sign_with(
            Algorithm::HS512,
            b"another secret of a length that would do",
            claims,
        ),
        sign_with(Algorithm::HS256, SECRET.as_bytes(), claims),
        by_header(r#"{"alg":"none"}"#, Algorithm::HS512),
        by_header(r#"{"alg":"HS256"}"#, Algorithm::HS512),
        by_header(r#"{"alg":"HS512","crit":["exp"]}"#, Algorithm::HS512),
        by_header("{}", Algorithm::HS512),
        by_header("[]", Algorithm::HS512),
        by_header("", Algorithm::HS512),
        sign(&timed(format!(r#""exp":{}"#, now() - 10))),
        sign(&timed(format!(r#""nbf":{}"#, now() + 10_000))),
        sign("no JSON"),
        "a.b.c".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        String::new(),
        "x".repeat(30_000),
        "é.\u{1F308}.\0".to_owned(),
    ]
}

fn broadcast_body(token: &str) -> String {
    serde_json::json!({ "token": token }).to_string()
}

#[test]
fn every_bad_broadcast_is_answered_alike() {
    let server = Server::start();
    for token in bad_tokens(&token::publish_claims("a", "{}")) {
        let response = server.post("/broadcast", "application/json", broadcast_body(&token));
        response.expect_json(400, r#"{"error":"Bad signature"}"#);
        let mut names: Vec<_> = response.headers.iter().map(|(name, _)| &name[..]).collect();
        names.sort_unstable();
        let plain = ["content-length", "content-type", "date", "server"];
        assert_eq!(names, plain, "{token}");
    }
}

#[test]
fn every_bad_authentication_is_answered_alike() {
    let server = Server::start();
    for token in bad_tokens(&token::subscribe_claims(&["a"])) {
        let mut stranger = server.raw();
        stranger.authenticate(&token);
        assert_eq!(stranger.expect_close(4001), "Not Authorized!", "{token}");
        // Also from somebody who has shown a good one before.
        let mut bob = server.raw_subscriber(&["a"]);
        bob.authenticate(&token);
        assert_eq!(bob.expect_close(4001), "Not Authorized!", "{token}");
    }
    server.wait_connected(0);
}

/// Asserts that a line which strangers can cause is written once a second at most.
#[track_caller]
fn expect_seldom(log: &[String], line: &str, elapsed: Duration) {
    let count = log.iter().filter(|entry| entry.contains(line)).count();
    let most = 1 + elapsed.as_secs() as usize;
    assert!(
        1 <= count && count <= most,
        "{count} lines in {elapsed:?}: {log:#?}"
    );
}

/// Sums up what the lines of a kind say: one each, and those held back before it.
fn told(log: &[String], line: &str) -> u64 {
    let suppressed = |entry: &String| {
        let (_, count) = entry.split_once("suppressed=")?;
        count.split_whitespace().next()?.parse::<u64>().ok()
    };
    let lines = log.iter().filter(|entry| entry.contains(line));
    lines
        .map(|entry| 1 + suppressed(entry).expect("a count"))
        .sum()
}

#[test]
fn flood_of_bad_tokens_costs_little_and_delays_no_good_one() {
    const LIARS: usize = 4;
    const LIES: usize = 3_000;
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let (started, before) = (Instant::now(), Vitals::of(&server));
    let at_work = AtomicU64::new(LIARS as u64);
    thread::scope(|scope| {
        for _ in 0..LIARS {
            let mut http = server.http();
            let at_work = &at_work;
            scope.spawn(move || {
                let tokens = bad_tokens(&token::publish_claims("a", "{}"));
                for lie in tokens.iter().cycle().take(LIES) {
                    let body = broadcast_body(lie);
                    http.send(post("/broadcast", "application/json", body));
                    assert_eq!(http.response().status, 400);
                }
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Good ones from the same address are answered and delivered all the while.
        while at_work.load(Ordering::Relaxed) > 0 {
            let message = publisher.next_message();
            publisher.post(1);
            alice.expect_text(&message);
        }
    });
    let good = publisher.answered;
    assert!(good >= 20, "only {good} good ones came through");
    // One more, when a line may be written again, tells of all that were held back.
    thread::sleep(Duration::from_millis(1100));
    server.post_token("x").expect_error(400);
    let last = 1 + (LIARS * LIES) as u64;
    let line = "broadcast refused";
    eventually("all are accounted for", || {
        (told(&server.stderr.so_far(), line) == last).then_some(())
    });
    expect_seldom(&server.stderr.so_far(), line, started.elapsed());
    let now = Vitals::of(&server);
    assert!(now.peak < before.memory + 16 * 1024, "{before:?}, {now:?}");
}

#[test]
fn flood_of_bad_authentications_costs_little_and_delays_no_good_one() {
    const LIARS: usize = 4;
    const LIES: usize = 500;
    let server = Server::start();
    let (started, before) = (Instant::now(), Vitals::of(&server));
    let at_work = AtomicU64::new(LIARS as u64);
    thread::scope(|scope| {
        for _ in 0..LIARS {
            scope.spawn(|| {
                let tokens = bad_tokens(&token::subscribe_claims(&["a"]));
                for lie in tokens.iter().cycle().take(LIES) {
                    lie_and_leave(&server, lie);
                }
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut good = 0;
        while at_work.load(Ordering::Relaxed) > 0 || good < 20 {
            let mut alice = server.raw_subscriber(&["b"]);
            alice.expect_nothing();
            good += 1;
        }
    });
    server.wait_connected(0);
    thread::sleep(Duration::from_millis(1100));
    lie_and_leave(&server, "x");
    let last = 1 + (LIARS * LIES) as u64;
    let line = "token refused";
    eventually("all are accounted for", || {
        (told(&server.stderr.so_far(), line) == last).then_some(())
    });
    expect_seldom(&server.stderr.so_far(), line, started.elapsed());
    let now = Vitals::of(&server);
    assert!(now.peak < before.memory + 32 * 1024, "{before:?}, {now:?}");
}

/// Shows a bad token, hears of it, and resets: thousands of polite ends would use up the ports.
fn lie_and_leave(server: &Server, token: &str) {
    let mut raw = RawSocket::connect(server.address);
    raw.http.send(masked(TEXT, event("authenticate", token)));
    assert_eq!(raw.expect_close(4001), "Not Authorized!");
    raw.http.reset();
}

#[test]
fn tokens_of_the_largest_size_are_verified_before_they_are_read() {
    let server = Server::start();
    let before = Vitals::of(&server);
    // Claims that would take a hundred times their size, under a signature that is wrong.
    let claims = format!(
        r#"{{"channel":"a","message":{{}},"x":{}"#,
        "[".repeat(700_000)
    );
    let token = sign_with(
        Algorithm::HS512,
        b"another secret of a length that would do",
        &claims,
    );
    for _ in 0..20 {
        let response = server.post_token(&token);
        response.expect_json(400, r#"{"error":"Bad signature"}"#);
    }
    assert_eq!(deliveries(&server.post_broadcast("a", "{}")), 0);
    let now = Vitals::of(&server);
    assert!(now.peak < before.memory + 16 * 1024, "{before:?}, {now:?}");
}
