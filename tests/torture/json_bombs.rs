//! JSON that is expensive to parse: deep nesting, long numbers, many escapes; and tokens with
//! unusual claims.

use serde_json::Value;

use crate::support::http::Response;
use crate::support::raw::RawSocket;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, sign};
use crate::tools::proc_stats::ProcStats;

/// The default limit of a request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The limit of a message from a client, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// How far all of them together may raise the peak of the server's memory, in KiB. Parsed into a
/// tree, a single one takes a hundred times its own size.
const MAX_GROWTH: usize = 64 * 1024;

/// Texts of up to `size` bytes, each with as many repetitions as fit of something that is
/// expensive to parse.
fn json_bombs(size: usize) -> Vec<String> {
    let fill = |piece: &str| piece.repeat(size / piece.len());
    let left = size - 200;
    vec![
        fill("["),
        fill(r#"{"a":"#),
        fill(r#"[{"a":"#),
        fill("[[[]],"),
        fill("1"),
        format!("1e{}", "9".repeat(left)),
        format!("-0.{}1", "0".repeat(left)),
        format!(r#""{}""#, r"\u0041".repeat(left / 6)),
        format!(r#""{}""#, r"\ud83c\udf08".repeat(left / 12)),
        format!(r#""{}"#, r"\\".repeat(left / 2)),
        format!(r#"{{"token":"{}"}}"#, r"\u002e".repeat(left / 6)),
        format!(r#"{{"token":"{}"}}"#, ".".repeat(left)),
        format!(r#"{{"token":[{}]}}"#, "0,".repeat(left / 2) + "0"),
        format!(r#"{{{}"token":1}}"#, r#""token":1,"#.repeat(left / 10)),
        format!(r#"{{"event":"{}"}}"#, r"\u0041".repeat(left / 6)),
        format!(
            r#"{{"event":"authenticate","data":"{}"}}"#,
            r"\u002e".repeat(left / 6)
        ),
        format!(r#"{{"event":"authenticate","data":{}}}"#, "[".repeat(left)),
        format!(
            r#"{{"\u0065vent":"x",{}"a":1}}"#,
            r#""a":1,"#.repeat(left / 7)
        ),
        " ".repeat(size),
    ]
}

fn post_body(server: &Server, body: &str) -> Response {
    server.post("/broadcast", "application/json", body)
}

#[track_caller]
fn expect_bounded(server: &Server, before: ProcStats) {
    let now = ProcStats::of(server);
    assert!(now.peak < before.memory + MAX_GROWTH, "{before:?}, {now:?}");
    let log = server.stderr.so_far();
    assert!(!log.iter().any(|line| line.contains("panic")), "{log:#?}");
}

#[test]
fn json_bombs_in_bodies_are_rejected_with_a_message() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let before = ProcStats::of(&server);
    for bomb in json_bombs(MAX_BODY) {
        post_body(&server, &bomb).expect_error(400);
        let form = format!("token={}", &bomb[..bomb.len() - 100]);
        let kind = "application/x-www-form-urlencoded";
        server.post("/broadcast", kind, form).expect_error(400);
    }
    let escapes = "token=".to_owned() + &"%2e".repeat(MAX_BODY / 3 - 10);
    let kind = "application/x-www-form-urlencoded";
    server.post("/broadcast", kind, escapes).expect_error(400);
    alice.expect_nothing();
    expect_bounded(&server, before);
}

#[test]
fn json_bombs_in_messages_get_an_error_event_or_a_close_code() {
    let server = Server::start();
    let before = ProcStats::of(&server);
    for bomb in json_bombs(MAX_MESSAGE) {
        // Before and after authentication: a subscriber's thread has a smaller stack.
        for mut raw in [server.raw(), server.raw_subscriber(&["a"])] {
            raw.send_text(&bomb);
            if bomb.starts_with(r#"{"event":"authenticate""#) && bomb.ends_with(r#""}"#) {
                assert_eq!(raw.expect_close(4001), "Not Authorized!");
                continue;
            }
            if bomb.starts_with(r#"{"event":"A"#) || bomb.starts_with(r#"{"event":"\u"#) {
                raw.expect_nothing(); // an unknown event is ignored
                continue;
            }
            expect_error_event_or_nothing(&mut raw, &bomb);
        }
    }
    expect_bounded(&server, before);
}

/// Asserts that the text is answered with an error event or ignored, and the connection stays open.
#[track_caller]
fn expect_error_event_or_nothing(raw: &mut RawSocket, bomb: &str) {
    let start = &bomb[..bomb.len().min(40)];
    raw.send_text(r#"{"event":"ping"}"#);
    let frame = raw.next();
    let text = String::from_utf8(frame.payload).expect("UTF-8");
    if text == r#"{"event":"pong"}"# {
        return;
    }
    assert!(
        text.starts_with(r#"{"event":"error","data":"#),
        "{start} {text}"
    );
    raw.expect_pong();
}

/// An array nested so deep; 128 levels, the claims object included, are allowed.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn tokens_with_nested_claims_are_accepted_up_to_the_limit() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let publish = |extra: &str| {
        sign(&format!(
            r#"{{"channel":"a","message":{{"x":1}},"extra":{extra}}}"#
        ))
    };
    assert_eq!(deliveries(&server.post_token(&publish(&nested(127)))), 1);
    alice.expect_text(r#"{"x":1}"#);
    for depth in [128, 1_000, 100_000] {
        server
            .post_token(&publish(&nested(depth)))
            .expect_error(400);
        let unclosed = "[".repeat(depth);
        server.post_token(&publish(&unclosed)).expect_error(400);
    }
    // The same on a subscriber's thread, whose stack is small.
    let subscribe = |extra: &str| sign(&format!(r#"{{"channels":["b"],"extra":{extra}}}"#));
    alice.authenticate(&subscribe(&nested(127)));
    alice.expect_confirmed(&["b"]);
    for depth in [128, 1_000, 15_000] {
        let mut bob = server.raw_subscriber(&["a"]);
        bob.authenticate(&subscribe(&nested(depth)));
        assert_eq!(bob.expect_close(4001), "Not Authorized!");
    }
    alice.expect_nothing();
}

#[test]
fn tokens_with_many_claims_are_accepted() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let before = ProcStats::of(&server);
    let many: String = (0..40_000).map(|n| format!(r#""c{n}":{n},"#)).collect();
    let claims = format!(r#"{{{many}"channel":"a","message":{{"x":1}}}}"#);
    assert_eq!(deliveries(&server.post_token(&sign(&claims))), 1);
    alice.expect_text(r#"{"x":1}"#);
    let many: String = (0..2_500).map(|n| format!(r#""c{n}":{n},"#)).collect();
    alice.authenticate(&sign(&format!(r#"{{{many}"channels":["b"]}}"#)));
    alice.expect_confirmed(&["b"]);
    let many = vec!["x"; 9_000];
    alice.authenticate(&token::subscriber(&many));
    (0..many.len()).for_each(|_| alice.expect_confirmed(&["x"]));
    alice.expect_nothing();
    expect_bounded(&server, before);
}

/// Values of `exp` and `nbf` that no application writes; each makes the token invalid.
const INVALID_TIMES: [&str; 11] = [
    r#""exp":"tomorrow""#,
    r#""exp":[]"#,
    r#""exp":{}"#,
    r#""exp":true"#,
    r#""exp":-1"#,
    r#""exp":1e-400"#,
    r#""exp":-1e400"#,
    r#""nbf":"now""#,
    r#""nbf":1e308"#,
    r#""nbf":1e400"#,
    r#""nbf":99999999999999999999999999999999999999"#,
];

#[test]
fn invalid_times_are_rejected_like_a_bad_signature() {
    let server = Server::start();
    let bad = r#"{"error":"Bad signature"}"#;
    for invalid in INVALID_TIMES {
        let publish = sign(&format!(r#"{{"channel":"a","message":{{}},{invalid}}}"#));
        let response = server.post_token(&publish);
        assert_eq!((response.status, response.text()), (400, bad), "{invalid}");
        let mut raw = server.raw();
        raw.authenticate(&sign(&format!(r#"{{"channels":["a"],{invalid}}}"#)));
        assert_eq!(raw.expect_close(4001), "Not Authorized!", "{invalid}");
    }
    for valid in [
        r#""exp":1e300"#,
        r#""exp":9007199254740993.5"#,
        r#""nbf":-1e300"#,
        r#""nbf":-0"#,
    ] {
        let publish = sign(&format!(r#"{{"channel":"a","message":{{}},{valid}}}"#));
        assert_eq!(deliveries(&server.post_token(&publish)), 0, "{valid}");
    }
}

#[test]
fn invalid_claims_are_rejected_with_a_message() {
    let server = Server::start();
    let names = [
        "null".to_owned(),
        "7".to_owned(),
        "[\"a\"]".to_owned(),
        "\"\"".to_owned(),
        Value::from("x".repeat(256)).to_string(),
        Value::from("ü".repeat(128)).to_string(),
        Value::from("x".repeat(500_000)).to_string(),
        r#""\ud800""#.to_owned(),
    ];
    for name in &names {
        let claims = format!(r#"{{"channel":{name},"message":{{}}}}"#);
        server.post_token(&sign(&claims)).expect_error(400);
        if name.len() < 10_000 {
            let mut raw = server.raw_subscriber(&["a"]);
            raw.authenticate(&sign(&format!(r#"{{"channels":["b",{name}]}}"#)));
            let frame = raw.next();
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            assert!([4001, 1008].contains(&code), "{name}: {code}");
            assert_eq!(server.broadcast("b", "{}"), 0, "{name}");
        }
    }
    for message in [
        "null",
        "1",
        "[]",
        r#""{}""#,
        "{,}",
        "{\"a\":}",
        "{\"a\":1e}",
    ] {
        let claims = format!(r#"{{"channel":"a","message":{message}}}"#);
        server.post_token(&sign(&claims)).expect_error(400);
    }
    for claims in [
        "",
        "null",
        "[]",
        "7",
        "\"x\"",
        "{",
        "{}",
        "\u{feff}{}",
        "[{}]",
    ] {
        server.post_token(&sign(claims)).expect_error(400);
    }
}
