//! What a subscriber sends and receives: tokens, confirmations, limits, events.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::support::eventually;
use crate::support::raw::{RawSocket, confirmation, event};
use crate::support::server::Server;
use crate::support::subscriber::Subscriber;
use crate::support::token::{
    self, SECRET, sign, sign_parts, sign_with, subscribe_claims, within_one_second,
};

const NOT_AUTHORIZED: &str = "Not Authorized!";

/// `count` names that begin with `prefix`.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

fn expect_all_confirmed(subscriber: &mut Subscriber, channels: &[String]) {
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    subscriber.expect_confirmed(&channels);
}

#[test]
fn channels_are_confirmed_in_the_order_of_the_token() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.authenticate(&token::subscriber(&["user:1", "a", "global", "B", "aa"]));
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}"#);
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"a\"}"}"#);
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"global\"}"}"#);
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"B\"}"}"#);
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"aa\"}"}"#);
    raw.expect_nothing();
}

#[test]
fn odd_channel_names_are_confirmed_and_deliver() {
    let server = Server::start();
    for name in [
        "a b",
        r#"quo"te"#,
        r"back\slash",
        "tab\there",
        "nul\0",
        "é日本😀",
        "</script>",
        "\u{7f}\u{2028}",
        "{\"x\":1}",
        "/",
    ] {
        let mut alice = server.connect();
        alice.authenticate(&token::subscriber(&[name]));
        let frame = alice.next();
        assert!(
            frame.starts_with(r#"{"event":"subscribed","data":"{\"channel\":\""#),
            "{frame}"
        );
        assert!(frame.ends_with(r#"\"}"}"#), "{frame}");
        let outer: Value = serde_json::from_str(&frame).expect("a frame is JSON");
        let data = outer["data"].as_str().expect("data is a string");
        let inner: Value = serde_json::from_str(data).expect("data holds JSON");
        assert_eq!(inner, serde_json::json!({ "channel": name }));
        assert_eq!(server.broadcast(name, r#"{"n":1}"#), 1);
        alice.expect(r#"{"n":1}"#);
    }
}

#[test]
fn quotes_in_a_channel_name_are_escaped_twice() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.authenticate(&token::subscriber(&[r#"a"b"#]));
    raw.expect_text(r#"{"event":"subscribed","data":"{\"channel\":\"a\\\"b\"}"}"#);
}

#[test]
fn authenticate_again_adds_channels_and_confirms_held_ones_again() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a", "b"]);
    alice.authenticate(&token::subscriber(&["c", "a"]));
    alice.expect_confirmed(&["c", "a"]);
    for channel in ["a", "b", "c"] {
        assert_eq!(
            server.broadcast(channel, &format!(r#"{{"to":"{channel}"}}"#)),
            1
        );
        alice.expect(&format!(r#"{{"to":"{channel}"}}"#));
    }
    alice.expect_nothing();
}

#[test]
fn channel_named_twice_is_confirmed_twice_and_delivers_once() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a", "b", "a", "a"]);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
    alice.expect_nothing();
}

#[test]
fn every_broadcast_after_the_confirmation_follows_it() {
    let server = Server::start();
    for round in 0..30 {
        let mut raw = server.raw();
        raw.authenticate(&token::subscriber(&["a"]));
        raw.expect_confirmed(&["a"]);
        assert_eq!(server.broadcast("a", r#"{"n":1}"#), 1, "round {round}");
        raw.expect_text(r#"{"n":1}"#);
        drop(raw);
        server.wait_connected(0);
    }
}

#[test]
fn no_broadcast_comes_before_the_confirmation() {
    let server = Server::start();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| assert!(server.broadcast("a", "{}") <= 30)));
        for _ in 0..30 {
            let mut raw = server.raw();
            raw.authenticate(&token::subscriber(&["a"]));
            raw.expect_confirmed(&["a"]);
        }
    });
}

#[test]
fn token_without_channels_is_valid() {
    let server = Server::with(&[("BIFROST_AUTH_TIMEOUT", "1s")]);
    let mut raw = server.raw();
    raw.authenticate(&sign(r#"{"channels":[]}"#));
    raw.expect_nothing();
    raw.http
        .expect_silence(std::time::Duration::from_millis(1300));
    raw.authenticate(&token::subscriber(&["a"]));
    raw.expect_confirmed(&["a"]);
}

#[test]
fn other_claims_and_keys_are_ignored() {
    let server = Server::start();
    let mut alice = server.connect();
    let token =
        sign(r#"{"sub":1,"aud":["x"],"iat":"never","channels":["a"],"channel":5,"message":null}"#);
    alice.send(&format!(
        r#"{{"id":7,"data":"{token}","more":{{}},"event":"authenticate"}}"#
    ));
    alice.expect_confirmed(&["a"]);
    alice.send(&format!(
        "\n{{ \"event\" : \"authen\\u0074icate\" ,\t\"data\":\"{token}\" }} "
    ));
    alice.expect_confirmed(&["a"]);
    alice.expect_nothing();
}

#[track_caller]
fn expect_not_authorized(server: &Server, frame: &str) {
    let mut mallory = server.connect();
    mallory.send(frame);
    mallory.expect_close(4001, NOT_AUTHORIZED);
}

#[test]
fn refused_tokens_close_with_4001() {
    let server = Server::start();
    let claims = subscribe_claims(&["a"]);
    let second = token::now();
    let good = sign(&claims);
    for token in [
        String::new(),
        "hello".to_owned(),
        "..".to_owned(),
        format!("{good}x"),
        good[..good.len() - 4].to_owned(),
        sign_with(Algorithm::HS512, &[b'x'; 64], &claims),
        sign_with(Algorithm::HS256, SECRET.as_bytes(), &claims),
        sign_with(Algorithm::HS384, SECRET.as_bytes(), &claims),
        sign_parts(
            r#"{"alg":"none"}"#,
            claims.as_bytes(),
            SECRET.as_bytes(),
            Algorithm::HS512,
        ),
        sign(&format!(r#"{{"channels":["a"],"exp":{}}}"#, second - 1)),
        sign(&format!(r#"{{"channels":["a"],"exp":{}.5}}"#, second - 2)),
        sign(&format!(r#"{{"channels":["a"],"nbf":{}}}"#, second + 60)),
        sign(r#"{"channels":["a"]"#),
    ] {
        expect_not_authorized(&server, &event("authenticate", &token));
    }
    server.wait_connected(0);
}

#[test]
fn data_that_is_not_a_string_closes_with_4001() {
    let server = Server::start();
    for data in ["5", "null", "{}", "[]", "true", r#"["x"]"#] {
        expect_not_authorized(
            &server,
            &format!(r#"{{"event":"authenticate","data":{data}}}"#),
        );
    }
    expect_not_authorized(&server, r#"{"event":"authenticate"}"#);
}

#[test]
fn channels_that_are_not_an_array_of_strings_close_with_4001() {
    let server = Server::start();
    for claims in [
        "{}",
        "[]",
        r#"{"channels":null}"#,
        r#"{"channels":"a"}"#,
        r#"{"channels":{"a":1}}"#,
        r#"{"channels":[5]}"#,
        r#"{"channels":["a",null]}"#,
        r#"{"channels":["a",["b"]]}"#,
        r#"{"channel":"a"}"#,
        r#"{"channels":["\ud800"]}"#,
    ] {
        expect_not_authorized(&server, &event("authenticate", &sign(claims)));
    }
    expect_not_authorized(
        &server,
        &event("authenticate", &token::publisher("a", "{}")),
    );
}

#[test]
fn token_nested_over_128_deep_is_refused() {
    let server = Server::start();
    let claims = |depth: usize| {
        format!(
            r#"{{"channels":["a"],"x":{}{}}}"#,
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    let mut alice = server.connect();
    alice.authenticate(&sign(&claims(128)));
    alice.expect_confirmed(&["a"]);
    expect_not_authorized(&server, &event("authenticate", &sign(&claims(129))));
}

#[test]
fn nothing_of_a_refused_token_is_subscribed() {
    let server = Server::start();
    let empty_name = subscribe_claims(&["a", ""]);
    let too_long = subscribe_claims(&["a", &"x".repeat(256)]);
    let too_many = subscribe_claims(&[names("x", 128), vec!["a".to_owned()]].concat());
    for (claims, code) in [
        (empty_name.as_str(), 1008),
        (&too_long, 1008),
        (&too_many, 1008),
        (r#"{"channels":["a",5]}"#, 4001),
    ] {
        let mut raw = server.raw();
        raw.authenticate(&sign(claims));
        // No confirmation came before it.
        let reason = raw.expect_close(code);
        assert!(!reason.is_empty());
        assert_eq!(server.broadcast("a", "{}"), 0, "{claims:.80}");
    }
}

#[test]
fn refused_token_closes_an_authenticated_connection() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a"]);
    alice.authenticate("forged");
    alice.expect_close(4001, NOT_AUTHORIZED);
    eventually("alice is gone", || {
        (server.broadcast("a", "{}") == 0).then_some(())
    });
}

#[test]
fn connection_may_hold_128_channels() {
    let server = Server::start();
    let channels = names("c", 128);
    let mut alice = server.connect();
    alice.authenticate(&token::subscriber(&channels));
    expect_all_confirmed(&mut alice, &channels);
    for channel in [&channels[0], &channels[127]] {
        assert_eq!(server.broadcast(channel, "{}"), 1);
        alice.expect("{}");
    }
    server
        .raw()
        .authenticate(&token::subscriber(&names("c", 129)))
        .expect_close(1008);
}

#[test]
fn limit_of_128_counts_channels_over_all_tokens() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.authenticate(&token::subscriber(&names("c", 100)));
    (0..100).for_each(|_| drop(raw.next()));
    // 28 new channels beside 100 that are subscribed already.
    raw.authenticate(&token::subscriber(&names("c", 128)));
    (0..128).for_each(|_| drop(raw.next()));
    raw.expect_nothing();
    raw.authenticate(&token::subscriber(&["c0", "c127", "c0"]));
    raw.expect_confirmed(&["c0", "c127", "c0"]);
    raw.authenticate(&token::subscriber(&["c0", "new"]));
    assert!(!raw.expect_close(1008).is_empty());
    assert_eq!(server.broadcast("new", "{}"), 0);
}

#[test]
fn channel_named_twice_counts_once_towards_the_limit() {
    let server = Server::start();
    let channels = [names("c", 128), names("c", 10)].concat();
    let mut alice = server.connect();
    alice.authenticate(&token::subscriber(&channels));
    expect_all_confirmed(&mut alice, &channels);
    alice.expect_nothing();
}

#[test]
fn channel_name_has_between_1_and_255_bytes() {
    let server = Server::start();
    let longest = "x".repeat(255);
    let mut alice = server.subscriber(&[&longest]);
    assert_eq!(server.broadcast(&longest, "{}"), 1);
    alice.expect("{}");
    let mut bob = server.connect();
    let wide = "é".repeat(127);
    bob.authenticate(&token::subscriber(&[&wide]));
    bob.next();
    for name in [String::new(), "x".repeat(256), "é".repeat(128)] {
        let mut raw = server.raw();
        raw.authenticate(&token::subscriber(&[name]));
        assert!(!raw.expect_close(1008).is_empty());
    }
}

#[test]
fn ping_is_answered_authenticated_or_not() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.send_text(r#"{"event":"ping"}"#);
    raw.expect_text(r#"{"event":"pong"}"#);
    raw.authenticate(&token::subscriber(&["a"]));
    raw.expect_confirmed(&["a"]);
    for ping in [
        r#"{"event":"ping"}"#,
        r#"{"event":"ping","data":{"t":1}}"#,
        " { \"data\":null, \"event\" : \"ping\" }\n",
    ] {
        raw.send_text(ping);
        raw.expect_text(r#"{"event":"pong"}"#);
    }
}

#[test]
fn other_events_are_ignored() {
    let server = Server::start();
    let mut raw = server.raw();
    for frame in [
        r#"{"event":"hello"}"#,
        r#"{"event":""}"#,
        r#"{"event":"PING"}"#,
        r#"{"event":"pong"}"#,
        r#"{"event":"subscribed","data":"{\"channel\":\"a\"}"}"#,
        r#"{"event":"broadcast","channel":"a","message":{}}"#,
    ] {
        raw.send_text(frame);
        raw.expect_nothing();
    }
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[track_caller]
fn expect_error_event(raw: &mut RawSocket) {
    let frame = raw.next();
    let text = String::from_utf8(frame.payload).expect("text is UTF-8");
    assert!(
        text.starts_with(r#"{"event":"error","data":"{\"message\":\""#),
        "{text}"
    );
    assert!(text.ends_with(r#"\"}"}"#), "{text}");
    let outer: Value = serde_json::from_str(&text).expect("a frame is JSON");
    let inner: Value =
        serde_json::from_str(outer["data"].as_str().expect("a string")).expect("data holds JSON");
    assert!(
        inner["message"]
            .as_str()
            .is_some_and(|sentence| !sentence.is_empty()),
        "{text}"
    );
}

#[test]
fn malformed_event_is_answered_with_an_error_and_the_connection_stays_open() {
    let server = Server::start();
    let mut fresh = server.raw();
    let mut subscribed = server.raw_subscriber(&["a"]);
    for raw in [&mut fresh, &mut subscribed] {
        for text in [
            "",
            "hello",
            "{",
            "{}",
            "[]",
            "5",
            "null",
            r#""ping""#,
            r#"{"event":5}"#,
            r#"{"event":null}"#,
            r#"{"event":["ping"]}"#,
            r#"{"Event":"ping"}"#,
            r#"[{"event":"ping"}]"#,
            r#"{"event":"ping"} x"#,
            r#"{"event":"ping",}"#,
            "\0",
        ] {
            raw.send_text(text);
            expect_error_event(raw);
            raw.expect_nothing();
        }
    }
    assert_eq!(server.broadcast("a", "{}"), 1);
    subscribed.expect_text("{}");
}

#[test]
fn expiry_is_checked_only_when_the_token_arrives() {
    let server = Server::start();
    let shown = within_one_second(|second| {
        let mut alice = server.connect();
        alice.authenticate(&sign(&format!(r#"{{"channels":["a"],"exp":{second}}}"#)));
        alice.try_next().map(|frame| (alice, frame))
    });
    let (mut alice, frame) = shown.expect("exp of the current second is still good");
    assert_eq!(frame, confirmation("a"));
    let shown = token::now();
    eventually("the token has expired", || {
        (token::now() > shown + 1).then_some(())
    });
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
}
