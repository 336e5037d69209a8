//! Floods of bad tokens: each is counted, few are logged, the response never says what is wrong,
//! and valid tokens are served meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use crate::support::raw::{RawSocket, TEXT, event, masked};
use crate::support::server::{Server, deliveries, post};
use crate::support::token::{self, SECRET, now, sign, sign_parts, sign_with};
use crate::support::{DEADLINE, eventually};
use crate::tools::proc_stats::ProcStats;
use crate::tools::publisher::Publisher;

/// Tokens with these claims, each invalid in another way.
fn bad_tokens(claims: &str) -> Vec<String> {
    let valid = sign(claims);
    let (signed, signature) = valid.rsplit_once('.').expect("a signature");
    let (header, payload) = signed.split_once('.').expect("a payload");
    let timed = |time: String| format!("{},{time}}}", &claims[..claims.len() - 1]);
    let flipped = {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        bytes[63] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let with_header = |header: &str, algorithm| {
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
        with_header(r#"{"alg":"none"}"#, Algorithm::HS512),
        with_header(r#"{"alg":"HS256"}"#, Algorithm::HS512),
        with_header(r#"{"alg":"HS512","crit":["exp"]}"#, Algorithm::HS512),
        with_header("{}", Algorithm::HS512),
        with_header("[]", Algorithm::HS512),
        with_header("", Algorithm::HS512),
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
fn all_bad_tokens_of_broadcasts_get_the_same_response() {
    let server = Server::start();
    for token in bad_tokens(&token::publish_claims("a", "{}")) {
        let response = server.post("/broadcast", "application/json", broadcast_body(&token));
        response.expect_json(400, r#"{"error":"Bad signature"}"#);
        let mut names: Vec<_> = response.headers.iter().map(|(name, _)| &name[..]).collect();
        names.sort_unstable();
        let expected = ["content-length", "content-type", "date", "server"];
        assert_eq!(names, expected, "{token}");
    }
}

#[test]
fn all_bad_tokens_of_subscribers_get_the_same_close_frame() {
    let server = Server::start();
    for token in bad_tokens(&token::subscribe_claims(&["a"])) {
        let mut raw = server.raw();
        raw.authenticate(&token);
        assert_eq!(raw.expect_close(4001), "Not Authorized!", "{token}");
        // The same for a subscriber that has authenticated before.
        let mut bob = server.raw_subscriber(&["a"]);
        bob.authenticate(&token);
        assert_eq!(bob.expect_close(4001), "Not Authorized!", "{token}");
    }
    server.wait_connected(0);
}

/// Asserts that a line that unauthenticated clients can cause is logged once a second at most.
#[track_caller]
fn expect_throttled(log: &[String], line: &str, elapsed: Duration) {
    let count = log.iter().filter(|entry| entry.contains(line)).count();
    let most = 1 + elapsed.as_secs() as usize;
    assert!(
        1 <= count && count <= most,
        "{count} lines in {elapsed:?}: {log:#?}"
    );
}

/// The number of events that lines of a kind stand for: one each, and those suppressed before it.
fn logged(log: &[String], line: &str) -> u64 {
    let suppressed = |entry: &String| {
        let (_, count) = entry.split_once("suppressed=")?;
        count.split_whitespace().next()?.parse::<u64>().ok()
    };
    let lines = log.iter().filter(|entry| entry.contains(line));
    lines
        .map(|entry| 1 + suppressed(entry).expect("a count"))
        .sum()
}

/// How long a flood may take. A thread of it that fails would otherwise leave the test waiting.
const FLOOD_DEADLINE: Duration = DEADLINE.saturating_mul(6);
/// Longer than the second in which the log suppresses further lines of a kind.
const THROTTLE: Duration = Duration::from_millis(1100);

#[test]
fn flood_of_bad_broadcasts_takes_little_memory_and_delays_no_valid_one() {
    const CLIENTS: usize = 4;
    const TOKENS: usize = 3_000;
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let (started, before) = (Instant::now(), ProcStats::of(&server));
    let active = AtomicU64::new(CLIENTS as u64);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut http = server.http();
            let active = &active;
            scope.spawn(move || {
                let tokens = bad_tokens(&token::publish_claims("a", "{}"));
                for bad in tokens.iter().cycle().take(TOKENS) {
                    let body = broadcast_body(bad);
                    http.send(post("/broadcast", "application/json", body));
                    assert_eq!(http.response().status, 400);
                }
                active.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Valid broadcasts from the same address are delivered meanwhile.
        while active.load(Ordering::Relaxed) > 0 {
            assert!(started.elapsed() < FLOOD_DEADLINE, "the flood never ends");
            let message = publisher.next_message();
            publisher.post(1);
            alice.expect_text(&message);
        }
    });
    let valid = publisher.answered;
    assert!(valid >= 20, "only {valid} valid broadcasts were answered");
    // The next line that is logged counts all that were suppressed.
    thread::sleep(THROTTLE);
    server.post_token("x").expect_error(400);
    let last = 1 + (CLIENTS * TOKENS) as u64;
    let line = "broadcast refused";
    eventually("all bad tokens are accounted for in the log", || {
        (logged(&server.stderr.so_far(), line) == last).then_some(())
    });
    expect_throttled(&server.stderr.so_far(), line, started.elapsed());
    let now = ProcStats::of(&server);
    assert!(now.peak < before.memory + 16 * 1024, "{before:?}, {now:?}");
}

#[test]
fn flood_of_bad_authentications_takes_little_memory_and_delays_no_valid_one() {
    const CLIENTS: usize = 4;
    const TOKENS: usize = 500;
    let server = Server::start();
    let (started, before) = (Instant::now(), ProcStats::of(&server));
    let active = AtomicU64::new(CLIENTS as u64);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let tokens = bad_tokens(&token::subscribe_claims(&["a"]));
                for bad in tokens.iter().cycle().take(TOKENS) {
                    authenticate_and_reset(&server, bad);
                }
                active.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut valid = 0;
        while active.load(Ordering::Relaxed) > 0 || valid < 20 {
            assert!(started.elapsed() < FLOOD_DEADLINE, "the flood never ends");
            let mut alice = server.raw_subscriber(&["b"]);
            alice.expect_nothing();
            valid += 1;
        }
    });
    server.wait_connected(0);
    thread::sleep(THROTTLE);
    authenticate_and_reset(&server, "x");
    let last = 1 + (CLIENTS * TOKENS) as u64;
    let line = "token refused";
    eventually("all bad tokens are accounted for in the log", || {
        (logged(&server.stderr.so_far(), line) == last).then_some(())
    });
    expect_throttled(&server.stderr.so_far(), line, started.elapsed());
    let now = ProcStats::of(&server);
    assert!(now.peak < before.memory + 32 * 1024, "{before:?}, {now:?}");
}

/// Authenticates with a bad token, expects the close frame, and resets the connection: thousands
/// of orderly closes would leave too many ports in TIME_WAIT.
fn authenticate_and_reset(server: &Server, token: &str) {
    let mut raw = RawSocket::connect(server.address);
    raw.http.send(masked(TEXT, event("authenticate", token)));
    assert_eq!(raw.expect_close(4001), "Not Authorized!");
    raw.http.reset();
}

#[test]
fn signature_of_the_largest_token_is_verified_before_its_claims_are_parsed() {
    let server = Server::start();
    let before = ProcStats::of(&server);
    // Claims that would take a hundred times their size when parsed, with a wrong signature.
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
    let now = ProcStats::of(&server);
    assert!(now.peak < before.memory + 16 * 1024, "{before:?}, {now:?}");
}
