//! JSON made to hurt: nesting, numbers and escapes without end, and tokens with odd claims.

use serde_json::Value;

use crate::support::http::Response;
use crate::support::raw::RawSocket;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, sign};
use crate::tools::vitals::Vitals;

/// As much as a body may hold.
const BODY: usize = 1024 * 1024;
/// As much as a client's message may hold.
const MESSAGE: usize = 64 * 1024;

/// What all bombs together may leave behind, in KiB; one that is taken apart as it says it
/// wants to be takes a hundred times its size.
const GROWTH: usize = 64 * 1024;

/// Pieces that cost more the more of them there are, and the longest text that they make.
fn bombs(size: usize) -> Vec<String> {
    let fill = |piece: &str| piece.repeat(size / piece.len());
    let room = size - 200;
    vec![
        fill("["),
        fill(r#"{"a":"#),
        fill(r#"[{"a":"#),
        fill("[[[]],"),
        fill("1"),
        format!("1e{}", "9".repeat(room)),
        format!("-0.{}1", "0".repeat(room)),
        format!(r#""{}""#, r"\u0041".repeat(room / 6)),
        format!(r#""{}""#, r"\ud83c\udf08".repeat(room / 12)),
        format!(r#""{}"#, r"\\".repeat(room / 2)),
        format!(r#"{{"token":"{}"}}"#, r"\u002e".repeat(room / 6)),
        format!(r#"{{"token":"{}"}}"#, ".".repeat(room)),
        format!(r#"{{"token":[{}]}}"#, "0,".repeat(room / 2) + "0"),
        format!(r#"{{{}"token":1}}"#, r#""token":1,"#.repeat(room / 10)),
        format!(r#"{{"event":"{}"}}"#, r"\u0041".repeat(room / 6)),
        format!(
            r#"{{"event":"authenticate","data":"{}"}}"#,
            r"\u002e".repeat(room / 6)
        ),
        format!(r#"{{"event":"authenticate","data":{}}}"#, "[".repeat(room)),
        format!(
            r#"{{"\u0065vent":"x",{}"a":1}}"#,
            r#""a":1,"#.repeat(room / 7)
        ),
        " ".repeat(size),
    ]
}

fn post_body(server: &Server, body: &str) -> Response {
    server.post("/broadcast", "application/json", body)
}

#[track_caller]
fn expect_bounded(server: &Server, before: Vitals) {
    let now = Vitals::of(server);
    assert!(now.peak < before.memory + GROWTH, "{before:?}, {now:?}");
    let log = server.stderr.so_far();
    assert!(!log.iter().any(|line| line.contains("panic")), "{log:#?}");
}

#[test]
fn bombs_in_bodies_are_refused_with_a_sentence() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let before = Vitals::of(&server);
    for bomb in bombs(BODY) {
        post_body(&server, &bomb).expect_error(400);
        let form = format!("token={}", &bomb[..bomb.len() - 100]);
        let kind = "application/x-www-form-urlencoded";
        server.post("/broadcast", kind, form).expect_error(400);
    }
    let escapes = "token=".to_owned() + &"%2e".repeat(BODY / 3 - 10);
    let kind = "application/x-www-form-urlencoded";
    server.post("/broadcast", kind, escapes).expect_error(400);
    alice.expect_nothing();
    expect_bounded(&server, before);
}

#[test]
fn bombs_in_messages_leave_the_connection_alive_or_close_it_with_a_code() {
    let server = Server::start();
    let before = Vitals::of(&server);
    for bomb in bombs(MESSAGE) {
        // On both threads: that of the newcomer, and that of the subscriber, which is smaller.
        for mut raw in [server.raw(), server.raw_subscriber(&["a"])] {
            raw.send_text(&bomb);
            if bomb.starts_with(r#"{"event":"authenticate""#) && bomb.ends_with(r#""}"#) {
                assert_eq!(raw.expect_close(4001), "Not Authorized!");
                continue;
            }
            if bomb.starts_with(r#"{"event":"A"#) || bomb.starts_with(r#"{"event":"\u"#) {
                raw.expect_nothing(); // an event that nobody knows
                continue;
            }
            expect_answer(&mut raw, &bomb);
        }
    }
    expect_bounded(&server, before);
}

/// An error that says why, and a connection that stays; or nothing at all for what is no error.
#[track_caller]
fn expect_answer(raw: &mut RawSocket, bomb: &str) {
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

/// The depth at which the claims are refused: 128 is the most.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn tokens_with_deep_claims_are_taken_up_to_the_limit() {
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
    // Again on the subscriber's own thread, whose stack is small.
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
fn tokens_with_many_claims_are_taken() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let before = Vitals::of(&server);
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

/// Claims that no application writes; each is refused, and told nothing but that.
const ODD_TIMES: [&str; 11] = [
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
fn odd_times_are_refused_like_a_bad_signature() {
    let server = Server::start();
    let bad = r#"{"error":"Bad signature"}"#;
    for odd in ODD_TIMES {
        let publish = sign(&format!(r#"{{"channel":"a","message":{{}},{odd}}}"#));
        let response = server.post_token(&publish);
        assert_eq!((response.status, response.text()), (400, bad), "{odd}");
        let mut raw = server.raw();
        raw.authenticate(&sign(&format!(r#"{{"channels":["a"],{odd}}}"#)));
        assert_eq!(raw.expect_close(4001), "Not Authorized!", "{odd}");
    }
    for fine in [
        r#""exp":1e300"#,
        r#""exp":9007199254740993.5"#,
        r#""nbf":-1e300"#,
        r#""nbf":-0"#,
    ] {
        let publish = sign(&format!(r#"{{"channel":"a","message":{{}},{fine}}}"#));
        assert_eq!(deliveries(&server.post_token(&publish)), 0, "{fine}");
    }
}

#[test]
fn odd_claims_are_refused_with_a_sentence() {
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
