//! `POST /broadcast` with a publisher token in the header: what it allows, and how the rest is
//! refused.

use crate::support::http::Response;
use crate::support::raw::TEXT;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, sign, within_one_second};

const NO_TOKEN: &str = r#"Bearer realm="bifrost""#;
const BAD_TOKEN: &str = r#"Bearer realm="bifrost", error="invalid_token""#;
const OTHER_CHANNELS: &str = r#"Bearer realm="bifrost", error="insufficient_scope""#;
const FORM: &str = "application/x-www-form-urlencoded";
const ITEM: &str = r#"{"channel":"news","message":{"event":"e"}}"#;

/// As `curl -H "Authorization: …" -d '…'` does it.
fn post(server: &Server, authorization: &[&str], body: impl AsRef<[u8]>) -> Response {
    let body = body.as_ref();
    let mut head = format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n");
    for value in authorization {
        head += &format!("Authorization: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    server
        .http()
        .send([head.as_bytes(), body].concat())
        .response()
}

fn bearer(patterns: &str) -> String {
    format!("Bearer {}", sign(&format!(r#"{{"broadcast":{patterns}}}"#)))
}

#[track_caller]
fn expect(response: &Response, status: u16, challenge: Option<&str>, part: &str) {
    let body = response.text();
    assert_eq!(response.status, status, "{body}");
    assert_eq!(response.header("www-authenticate"), challenge, "{body}");
    let error = response.json()["error"].as_str().map(String::from);
    assert!(error.is_some_and(|error| error.contains(part)), "{body}");
}

#[test]
fn bare_message_is_sent_where_the_token_allows_it() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["news", "user:1"]);
    let mut bob = server.raw_subscriber(&["user:1"]);
    let token = bearer(r#"["news","user:*"]"#);
    for (channel, subscribers) in [("news", 1), ("user:1", 2), ("user:2", 0), ("user:", 0)] {
        let body = format!(r#"{{"channel":"{channel}","message":{{"at":"{channel}"}}}}"#);
        let response = post(&server, &[&token], &body);
        assert_eq!(deliveries(&response), subscribers, "{channel}");
        assert_eq!(response.header("www-authenticate"), None);
    }
    alice.expect_frame(TEXT, r#"{"at":"news"}"#);
    alice.expect_frame(TEXT, r#"{"at":"user:1"}"#);
    bob.expect_frame(TEXT, r#"{"at":"user:1"}"#);
    assert_eq!(server.stats().deliveries, 3);
}

#[test]
fn bare_message_reaches_subscribers_exactly_as_it_was_written() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let token = bearer(r#"["*"]"#);
    for message in [
        "{}",
        r#"{"z":1.0,"a":1e400,"n":-0,"z":2}"#,
        r#"{"s":"\u00e9\/ \ud800","é":"日本語 😀"}"#,
        "{ \"spaces\" :\t[ 1 ,\n 2 ]\r\n }",
        r#"{"token":"x","channel":"b"}"#,
        r#"{"url":"https://example.com/?a=1&token=zzz"}"#,
    ] {
        for body in [
            format!(r#"{{"channel":"a","message":{message}}}"#),
            format!(" {{ \"message\" : {message} ,\n\"channel\":\"\\u0061\", \"more\": [1]}}\n"),
            format!("[\n{{\"channel\":\"a\",\"message\": {message} }} ]"),
        ] {
            assert_eq!(deliveries(&post(&server, &[&token], &body)), 1, "{body}");
            alice.expect_text(message);
        }
    }
    alice.expect_nothing();
}

#[test]
fn list_is_sent_in_order_and_counted_together() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a", "b"]);
    let mut bob = server.raw_subscriber(&["b"]);
    let item = |number| {
        let channel = if number % 2 == 0 { "a" } else { "b" };
        format!(r#"{{"channel":"{channel}","message":{{"number":{number}}}}}"#)
    };
    let items: Vec<String> = (0..100).map(item).collect();
    let body = format!("[{}]", items.join(","));
    let response = post(&server, &[&bearer(r#"["a","b"]"#)], body);
    assert_eq!(deliveries(&response), 150);
    for number in 0..100 {
        let message = format!(r#"{{"number":{number}}}"#);
        alice.expect_text(&message);
        if number % 2 == 1 {
            bob.expect_text(&message);
        }
    }
}

#[test]
fn one_bad_message_refuses_the_whole_list() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["news"]);
    let token = bearer(r#"["news"]"#);
    let long = "x".repeat(256);
    for (bad, part) in [
        (r#"{"message":{}}"#, "channel is missing"),
        (r#"{"channel":null,"message":{}}"#, "channel is missing"),
        (r#"{"channel":7,"message":{}}"#, "channel is not a string"),
        (r#"{"channel":"","message":{}}"#, "channel is empty"),
        (
            &format!(r#"{{"channel":"{long}","message":{{}}}}"#),
            "channel is over 255 bytes",
        ),
        (r#"{"channel":"news"}"#, "message is missing"),
        (
            r#"{"channel":"news","message":"{}"}"#,
            "message is not an object",
        ),
        (
            r#"{"channel":"news","message":[]}"#,
            "message is not an object",
        ),
        (
            r#"{"channel":"news","channel":"other","message":{}}"#,
            "more than once",
        ),
        (r#"["news",{}]"#, "not an object"),
        ("7", "not an object"),
    ] {
        let response = post(&server, &[&token], format!("[{ITEM},{bad},{ITEM}]"));
        expect(&response, 400, None, part);
        assert!(response.text().contains("message 2 of 3: "), "{bad}");
        if bad.starts_with('{') {
            expect(&post(&server, &[&token], bad), 400, None, part);
        }
    }
    let other = r#"{"channel":"other","message":{}}"#;
    let response = post(&server, &[&token], format!("[{ITEM},{other}]"));
    expect(&response, 403, Some(OTHER_CHANNELS), r#"channel "other""#);
    alice.expect_nothing();
    assert_eq!(server.stats().deliveries, 0);
}

#[test]
fn list_has_1_to_100_messages() {
    let server = Server::start();
    let token = bearer(r#"["news"]"#);
    let list = |count| format!("[{}]", vec![ITEM; count].join(","));
    assert_eq!(deliveries(&post(&server, &[&token], list(100))), 0);
    expect(
        &post(&server, &[&token], list(101)),
        400,
        None,
        "101 messages; send 1 to 100",
    );
    expect(&post(&server, &[&token], list(0)), 400, None, "0 messages");
}

#[test]
fn channels_outside_the_scope_are_forbidden() {
    let server = Server::start();
    for (patterns, channel) in [
        (r#"["news"]"#, "news:1"),
        (r#"["news"]"#, "New"),
        (r#"["user:*"]"#, "user"),
        (r#"["*:1"]"#, "user:1"),
        (r#"["a*c"]"#, "abc"),
        (r#"[""]"#, "a"),
        ("[]", "a"),
    ] {
        let body = format!(r#"{{"channel":"{channel}","message":{{}}}}"#);
        let response = post(&server, &[&bearer(patterns)], body);
        expect(&response, 403, Some(OTHER_CHANNELS), channel);
    }
    for claims in [
        r#"{"channels":["news"]}"#,
        r#"{"channel":"news","message":{}}"#,
        r#"{"broadcast":null}"#,
        "{}",
    ] {
        let response = post(&server, &[&format!("Bearer {}", sign(claims))], ITEM);
        expect(&response, 403, Some(OTHER_CHANNELS), "broadcast");
    }
    for patterns in [r#""news""#, "[1]", r#"{"news":true}"#, r#"["news",null]"#] {
        let response = post(&server, &[&bearer(patterns)], ITEM);
        expect(
            &response,
            403,
            Some(OTHER_CHANNELS),
            "not an array of strings",
        );
    }
}

#[test]
fn bare_messages_without_a_valid_token_are_unauthorized() {
    let server = Server::start();
    let list = format!("[{ITEM}]");
    let good = bearer(r#"["news"]"#);
    let forged = good.replacen('.', ".A", 1);
    let none = sign_none();
    for body in [ITEM, &list, r#"{"channel":"news"}"#, r#"{"message":{}}"#] {
        for missing in [
            &[][..],
            &["Basic dTpw"],
            &["Bearer"],
            &["Bearer  "],
            &["Token x"],
        ] {
            expect(
                &post(&server, missing, body),
                401,
                Some(NO_TOKEN),
                "Authorization: Bearer",
            );
        }
        for bad in ["Bearer x", "Bearer a.b.c", "bearer a b", &forged, &none] {
            expect(
                &post(&server, &[bad], body),
                401,
                Some(BAD_TOKEN),
                "Bad signature",
            );
        }
    }
    // A bad token is reported before anything about the body.
    for body in ["", "{}", "[]", "{", "hello", "7", &"[".repeat(500)] {
        expect(
            &post(&server, &["Bearer x"], body),
            401,
            Some(BAD_TOKEN),
            "Bad signature",
        );
    }
    assert_eq!(server.stats().info["stats"]["rejected_tokens"], 27);
}

fn sign_none() -> String {
    // {"alg":"none"} . {"broadcast":["*"]} .
    "Bearer eyJhbGciOiJub25lIn0.eyJicm9hZGNhc3QiOlsiKiJdfQ.".into()
}

#[test]
fn exp_and_nbf_of_a_publisher_token_are_checked() {
    let server = Server::start();
    let timed = |claim: String| {
        format!(
            "Bearer {}",
            sign(&format!(r#"{{"broadcast":["*"],{claim}}}"#))
        )
    };
    within_one_second(|now| {
        let good = format!(r#""exp":{now},"nbf":{now}"#);
        assert_eq!(deliveries(&post(&server, &[&timed(good)], ITEM)), 0);
    });
    let now = token::now();
    for claim in [
        format!(r#""exp":{}"#, now - 1),
        format!(r#""nbf":{}"#, now + 60),
    ] {
        expect(
            &post(&server, &[&timed(claim)], ITEM),
            401,
            Some(BAD_TOKEN),
            "Bad signature",
        );
    }
}

#[test]
fn scheme_is_case_insensitive() {
    let server = Server::start();
    let token = sign(r#"{"broadcast":["news"]}"#);
    for scheme in ["Bearer ", "bearer ", "BEARER   "] {
        let authorization = format!("{scheme}{token}");
        assert_eq!(deliveries(&post(&server, &[&authorization], ITEM)), 0);
    }
    let good = bearer(r#"["news"]"#);
    expect(
        &post(&server, &[&good, &good], ITEM),
        400,
        None,
        "Authorization",
    );
}

#[test]
fn bodies_that_are_not_messages_are_refused_with_a_valid_token() {
    let server = Server::start();
    let token = bearer(r#"["*"]"#);
    let deep = format!(
        r#"{{"channel":"a","message":{{"x":{}}}}}"#,
        "[".repeat(127) + &"]".repeat(127)
    );
    for (body, part) in [
        ("", "empty"),
        ("  ", "empty"),
        ("{", "not JSON"),
        ("hello", "not JSON"),
        ("a=b", "not JSON"),
        ("[{]", "not JSON"),
        (r#"{"channel":"a","message":{}} x"#, "not JSON"),
        ("7", "neither a JSON object nor an array"),
        (r#""x""#, "neither a JSON object nor an array"),
        ("{}", "channel is missing"),
        (&deep, "128 levels deep"),
        (&format!("[{deep}]"), "128 levels deep"),
    ] {
        expect(&post(&server, &[&token], body), 400, None, part);
    }
    let raw = b"{\"channel\":\"a\",\"message\":{\"x\":\"\xff\"}}";
    expect(&post(&server, &[&token], raw), 400, None, "not JSON");
}

#[test]
fn signed_message_ignores_the_authorization_header() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let signed = token::publisher("a", r#"{"b": 1}"#);
    let good = bearer(r#"["other"]"#);
    for authorization in [
        &["Bearer x"][..],
        &[&good],
        &["Basic dTpw"],
        &[&good, &good],
    ] {
        for body in [
            format!(r#"{{"token":"{signed}"}}"#),
            format!(r#"{{"channel":"other","message":{{}},"token":"{signed}"}}"#),
            format!("token={signed}"),
        ] {
            assert_eq!(
                deliveries(&post(&server, authorization, &body)),
                1,
                "{body}"
            );
            alice.expect_text(r#"{"b": 1}"#);
        }
        for (body, part) in [
            (r#"{"token":"x"}"#, "Bad signature"),
            (r#"{"token":7}"#, "token is not a string"),
            (r#"{"token":"x","token":"x"}"#, "more than once"),
            ("token=x", "Bad signature"),
        ] {
            expect(&post(&server, authorization, body), 400, None, part);
        }
    }
    // Without the header, the answer is the same.
    for body in [
        "",
        "{}",
        "[]",
        "[7]",
        "7",
        "{",
        "a=b",
        r#"{"channels":["a"]}"#,
    ] {
        expect(&post(&server, &[], body), 400, None, "");
    }
    // A publisher token is not a signed message.
    let (_, publisher) = good.split_at("Bearer ".len());
    let body = format!(r#"{{"token":"{publisher}"}}"#);
    expect(&post(&server, &[], body), 400, None, "channel is missing");
}

#[test]
fn publisher_token_cannot_subscribe() {
    let server = Server::start();
    let mut alice = server.raw();
    alice.authenticate(&sign(r#"{"broadcast":["*"]}"#));
    assert_eq!(alice.expect_close(4001), "Not Authorized!");
}
