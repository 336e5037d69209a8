//! `POST /broadcast`: which requests are accepted, how others are refused, and the exact bytes
//! that subscribers receive.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use crate::support::raw::TEXT;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, SECRET, sign, sign_parts, sign_with, within_one_second};

const BAD_SIGNATURE: &str = r#"{"error":"Bad signature"}"#;
const FORM: &str = "application/x-www-form-urlencoded";

#[track_caller]
fn expect_bad_signature(server: &Server, token: &str) {
    server.post_token(token).expect_json(400, BAD_SIGNATURE);
}

#[test]
fn deliveries_are_the_subscribers_that_the_message_was_handed_to() {
    let server = Server::start();
    assert_eq!(server.broadcast("user:1", r#"{"event":"x"}"#), 0);
    let mut alice = server.subscriber(&["user:1", "global"]);
    let mut bob = server.subscriber(&["user:2", "global"]);
    let _stranger = server.connect();
    assert_eq!(server.broadcast("user:1", r#"{"event":"x"}"#), 1);
    assert_eq!(server.broadcast("global", r#"{"event":"y"}"#), 2);
    assert_eq!(server.broadcast("user:3", r#"{"event":"z"}"#), 0);
    alice.expect(r#"{"event":"x"}"#);
    alice.expect(r#"{"event":"y"}"#);
    alice.expect_nothing();
    bob.expect(r#"{"event":"y"}"#);
    bob.expect_nothing();
}

#[test]
fn channel_names_are_compared_byte_by_byte() {
    let server = Server::start();
    let mut alice = server.subscriber(&["User:1"]);
    for other in ["user:1", "User:1 ", "User:", "User:10", "User:*"] {
        assert_eq!(server.broadcast(other, "{}"), 0, "{other:?}");
    }
    assert_eq!(server.broadcast("User:1", "{}"), 1);
    alice.expect("{}");
}

#[test]
fn message_reaches_subscribers_exactly_as_it_was_written() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    for message in [
        "{}",
        r#"{"event":"new_item","data":"{\"id\":1}"}"#,
        r#"{"z":1,"a":2,"m":{"z":1,"a":2}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"n":[1.0,1.00,1e2,1E+2,-0,-0.0,0.1e-7,1e400,123456789012345678901234567890]}"#,
        r#"{"s":"\u00e9\u0041\/\/ \"\\\b\f\n\r\t \u2028 \u001F"}"#,
        r#"{"pair":"\ud83d\ude00","lone":"\ud800","turned":"\ude00\ud83d"}"#,
        r#"{"\u0061":"é ü 日本語 😀 <script>&'"}"#,
        "{ \"spaces\" :\t[ 1 ,\n 2 ]\r\n }",
        r#"{"channel":"other","message":{"exp":1}}"#,
        r#"{"true":true,"false":false,"null":null,"empty":{},"none":[],"":""}"#,
        "{\"delete\":\"\u{7f}\",\"line\":\"\u{2028}\u{2029}\",\"end\":\"\u{10ffff}\",\"nonchar\":\"\u{ffff}\"}",
    ] {
        assert_eq!(server.broadcast("a", message), 1, "{message}");
        alice.expect_text(message);
    }
    alice.expect_nothing();
}

#[test]
fn claims_may_be_written_in_any_order_and_spelling() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    for claims in [
        r#"{"message":{"b": 1},"channel":"a"}"#,
        r#"{"iss":"app","message":{"b": 1},"aud":["x"],"channel":"a","sub":7,"iat":"never","jti":null}"#,
        "  {\n\"channel\" : \"a\" ,\r\n\t\"message\" :\t{\"b\": 1}\n}\n ",
        r#"{"channel":"\u0061","message":{"b": 1}}"#,
        r#"{"\u0063hannel":"a","m\u0065ssage":{"b": 1}}"#,
    ] {
        assert_eq!(deliveries(&server.post_token(&sign(claims))), 1, "{claims}");
        alice.expect_text(r#"{"b": 1}"#);
    }
}

#[test]
fn message_of_any_length_is_one_frame() {
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    for length in [8, 125, 126, 127, 65_535, 65_536, 65_537, 400_000] {
        let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(length - r#"{"x":""}"#.len()));
        assert_eq!(server.broadcast("a", &message), 1);
        alice.expect_frame(TEXT, &message);
    }
}

#[test]
fn tampered_and_foreign_signatures_are_refused() {
    let server = Server::start();
    let good = token::publisher("a", "{}");
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let flipped: String = signature
        .chars()
        .map(|c| if c == 'A' { 'B' } else { 'A' })
        .collect();
    let other = token::publisher("b", "{}");
    let (other, _) = other.rsplit_once('.').expect("three parts");
    expect_bad_signature(&server, &format!("{head}.{flipped}"));
    expect_bad_signature(&server, &format!("{other}.{signature}"));
    expect_bad_signature(&server, &format!("{head}."));
    expect_bad_signature(&server, &format!("{head}.{}", &signature[..40]));
    let claims = token::publish_claims("a", "{}");
    expect_bad_signature(&server, &sign_with(Algorithm::HS512, &[b'x'; 64], &claims));
    expect_bad_signature(&server, &sign_with(Algorithm::HS512, b"", &claims));
    assert_eq!(deliveries(&server.post_token(&good)), 0);
}

#[test]
fn malformed_tokens_are_refused() {
    let server = Server::start();
    let good = token::publisher("a", "{}");
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    for token in [
        String::new(),
        "hello".to_owned(),
        "..".to_owned(),
        "....".to_owned(),
        format!("{header}.{claims}"),
        format!("{good}.{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{good} "),
        format!(" {good}"),
        format!("Bearer {good}"),
        format!("{header}.!!!!.{signature}"),
        "é.é.é".to_owned(),
    ] {
        expect_bad_signature(&server, &token);
    }
}

#[test]
fn header_must_be_json_that_names_the_configured_algorithm() {
    let server = Server::start();
    let claims = token::publish_claims("a", "{}");
    let with_header = |header: &str| {
        sign_parts(
            header,
            claims.as_bytes(),
            SECRET.as_bytes(),
            Algorithm::HS512,
        )
    };
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS512"}"#,
        r#"{"alg":"hs512"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS512"]}"#,
        r#"{"typ":"JWT"}"#,
        "[]",
        "HS512",
        "",
    ] {
        expect_bad_signature(&server, &with_header(header));
    }
    for header in [
        r#"{"alg":"HS512"}"#,
        r#"{"kid":"1","alg":"HS512","typ":"JWT","cty":"x"}"#,
        r#"{ "typ":"JWT" , "alg":"HS512" }"#,
    ] {
        assert_eq!(
            deliveries(&server.post_token(&with_header(header))),
            0,
            "{header}"
        );
    }
}

#[test]
fn alg_none_without_a_signature_is_refused() {
    let server = Server::start();
    let claims = URL_SAFE_NO_PAD.encode(token::publish_claims("a", "{}"));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE","typ":"JWT"}"#,
        r#"{"alg":"HS512"}"#,
    ] {
        expect_bad_signature(
            &server,
            &format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header)),
        );
    }
}

#[test]
fn another_algorithm_with_the_right_secret_is_refused() {
    let server = Server::start();
    let claims = token::publish_claims("a", "{}");
    for algorithm in [Algorithm::HS256, Algorithm::HS384] {
        expect_bad_signature(&server, &sign_with(algorithm, SECRET.as_bytes(), &claims));
        let lying = sign_parts(
            r#"{"alg":"HS512"}"#,
            claims.as_bytes(),
            SECRET.as_bytes(),
            algorithm,
        );
        expect_bad_signature(&server, &lying);
    }
}

/// The claims of a valid broadcast, with additional ones.
fn claims_with(more: &str) -> String {
    format!(r#"{{"channel":"a","message":{{}},{more}}}"#)
}

#[test]
fn expired_tokens_are_refused_without_leeway() {
    let server = Server::start();
    let second = token::now();
    for exp in [
        0.to_string(),
        (second - 1).to_string(),
        format!("{}.5", second - 2),
        (second - 3600).to_string(),
        "1e9".to_owned(),
        "-1".to_owned(),
    ] {
        expect_bad_signature(&server, &sign(&claims_with(&format!(r#""exp":{exp}"#))));
    }
    for exp in [
        format!("{}", second + 3600),
        format!("{}.25", second + 3600),
        "1e10".to_owned(),
        "99999999999.9".to_owned(),
        "1e300".to_owned(),
    ] {
        let response = server.post_token(&sign(&claims_with(&format!(r#""exp":{exp}"#))));
        assert_eq!(deliveries(&response), 0, "{exp}");
    }
}

#[test]
fn exp_of_the_current_second_is_still_accepted() {
    let server = Server::start();
    let at_exp = |offset: u64| {
        within_one_second(|second| {
            server.post_token(&sign(&claims_with(&format!(
                r#""exp":{}"#,
                second - offset
            ))))
        })
    };
    assert_eq!(deliveries(&at_exp(0)), 0);
    at_exp(1).expect_json(400, BAD_SIGNATURE);
}

#[test]
fn nbf_of_the_current_second_is_accepted_and_of_the_next_is_refused() {
    let server = Server::start();
    let at_nbf = |offset: u64| {
        within_one_second(|second| {
            server.post_token(&sign(&claims_with(&format!(
                r#""nbf":{}"#,
                second + offset
            ))))
        })
    };
    assert_eq!(deliveries(&at_nbf(0)), 0);
    at_nbf(1).expect_json(400, BAD_SIGNATURE);
}

#[test]
fn nbf_may_be_a_float() {
    let server = Server::start();
    let second = token::now();
    for nbf in [
        format!("{}.5", second - 1),
        "0.5".to_owned(),
        "1e9".to_owned(),
    ] {
        let response = server.post_token(&sign(&claims_with(&format!(r#""nbf":{nbf}"#))));
        assert_eq!(deliveries(&response), 0, "{nbf}");
    }
    for nbf in [format!("{}.5", second + 60), "1e11".to_owned()] {
        expect_bad_signature(&server, &sign(&claims_with(&format!(r#""nbf":{nbf}"#))));
    }
}

#[test]
fn exp_and_nbf_are_both_checked() {
    let server = Server::start();
    let second = token::now();
    let (past, future) = (second - 60, second + 60);
    let both = |exp, nbf| sign(&claims_with(&format!(r#""exp":{exp},"nbf":{nbf}"#)));
    assert_eq!(deliveries(&server.post_token(&both(future, past))), 0);
    expect_bad_signature(&server, &both(past, past));
    expect_bad_signature(&server, &both(future, future));
    let in_message = format!(r#"{{"channel":"a","message":{{"exp":{past},"nbf":{future}}}}}"#);
    assert_eq!(deliveries(&server.post_token(&sign(&in_message))), 0);
}

#[test]
fn exp_that_is_not_a_number_is_refused() {
    let server = Server::start();
    for exp in [r#""tomorrow""#, "{}", "[]", "true"] {
        server
            .post_token(&sign(&claims_with(&format!(r#""exp":{exp}"#))))
            .expect_error(400);
    }
}

#[test]
fn error_says_why_the_body_cannot_be_read() {
    let server = Server::start();
    let told = |body: &str| {
        server
            .post("/broadcast", "application/json", body)
            .expect_error(400)
    };
    let sentences = BTreeSet::from([told(""), told("hello"), told("{}"), told(r#"{"token":5}"#)]);
    assert_eq!(sentences.len(), 4, "{sentences:?}");
    assert!(told("hello").contains("JSON"), "{}", told("hello"));
    for body in [
        "{",
        r#"{"token":"x""#,
        r#"{"token":"x"} y"#,
        "{'token':'x'}",
        "token=x",
        r#"{"token":"x",}"#,
        "\u{0}",
    ] {
        assert_eq!(
            server.post("/broadcast", "application/json", body).status,
            400,
            "{body}"
        );
    }
    for body in [
        r#"{"token":null}"#,
        r#"{"token":["x"]}"#,
        r#"{"token":{}}"#,
        "{}",
        r#"{"Token":"x"}"#,
    ] {
        assert!(told(body).contains("token"), "{}", told(body));
    }
    for body in ["[]", r#""token""#, "5", "null"] {
        told(body);
    }
    server
        .post("/broadcast", "application/json", b"{\"token\":\"\xff\"}")
        .expect_error(400);
    server
        .ask("POST /broadcast HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect_error(400);
}

#[test]
fn error_says_which_claim_cannot_be_used() {
    let server = Server::start();
    let told = |claims: &str| server.post_token(&sign(claims)).expect_error(400);
    let long = "x".repeat(256);
    let about_channel = BTreeSet::from([
        told(r#"{"message":{}}"#),
        told(r#"{"channel":5,"message":{}}"#),
        told(r#"{"channel":"","message":{}}"#),
        told(&format!(r#"{{"channel":"{long}","message":{{}}}}"#)),
    ]);
    assert_eq!(about_channel.len(), 4, "{about_channel:?}");
    assert!(
        about_channel
            .iter()
            .all(|sentence| sentence.contains("channel")),
        "{about_channel:?}"
    );
    let about_message = BTreeSet::from([
        told(r#"{"channel":"a"}"#),
        told(r#"{"channel":"a","message":"text"}"#),
    ]);
    assert_eq!(about_message.len(), 2, "{about_message:?}");
    assert!(
        about_message
            .iter()
            .all(|sentence| sentence.contains("message")),
        "{about_message:?}"
    );
    for channel in ["null", r#"["a"]"#, "{}", "true"] {
        assert!(told(&format!(r#"{{"channel":{channel},"message":{{}}}}"#)).contains("channel"));
    }
    for message in ["null", "[]", "5", r#""{}""#, "false"] {
        assert!(told(&format!(r#"{{"channel":"a","message":{message}}}"#)).contains("message"));
    }
    told(r#"{"channels":["a"],"message":{}}"#);
}

#[test]
fn claims_that_are_not_a_json_object_are_refused() {
    let server = Server::start();
    for claims in [
        "[]",
        "5",
        "null",
        r#""a""#,
        "",
        "hello",
        r#"{"channel":"a","message":{}"#,
        r#"{"channel":"a","message":{}} x"#,
    ] {
        server.post_token(&sign(claims)).expect_error(400);
    }
    let not_utf8 = b"{\"channel\":\"a\",\"message\":{\"x\":\"\xff\xfe\"}}";
    let header = r#"{"alg":"HS512"}"#;
    server
        .post_token(&sign_parts(
            header,
            not_utf8,
            SECRET.as_bytes(),
            Algorithm::HS512,
        ))
        .expect_error(400);
}

#[test]
fn message_that_is_not_quite_json_is_refused() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a"]);
    for message in [
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e}"#,
        r#"{"a":NaN}"#,
        r#"{"a":'x'}"#,
        r#"{"a":"\x41"}"#,
        r#"{"a":"\u12g4"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{a:1}"#,
        r#"{"a" 1}"#,
        r#"{"a":tru}"#,
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"\u{0}\"}",
        "{/* no */}",
        "{\u{a0}}",
    ] {
        let response = server.post_broadcast("a", message);
        assert_eq!(response.status, 400, "{message}");
        response.expect_error(400);
    }
    alice.expect_nothing();
}

#[test]
fn channel_may_have_255_bytes() {
    let server = Server::start();
    for channel in ["x".repeat(255), format!("{}x", "é".repeat(127))] {
        assert_eq!(channel.len(), 255);
        assert_eq!(server.broadcast(&channel, "{}"), 0);
    }
    for channel in ["x".repeat(256), "é".repeat(128)] {
        assert!(
            server
                .post_broadcast(&channel, "{}")
                .expect_error(400)
                .contains("channel")
        );
    }
    let escaped = format!(
        r#"{{"channel":"{}","message":{{}}}}"#,
        r"\u0041".repeat(255)
    );
    assert_eq!(
        deliveries(&server.post_token(&sign(&escaped))),
        0,
        "bytes of the name, not of its spelling"
    );
}

#[test]
fn lone_surrogate_is_refused_as_a_channel_name() {
    let server = Server::start();
    server
        .post_token(&sign(r#"{"channel":"\ud800","message":{}}"#))
        .expect_error(400);
}

/// Nested arrays of this depth.
fn arrays(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn body_may_be_nested_128_deep() {
    let server = Server::start();
    let body = |depth: usize| {
        format!(
            r#"{{"token":"{}","x":{}}}"#,
            token::publisher("a", "{}"),
            arrays(depth - 1)
        )
    };
    assert_eq!(
        deliveries(&server.post("/broadcast", "application/json", body(128))),
        0
    );
    server
        .post("/broadcast", "application/json", body(129))
        .expect_error(400);
    server
        .post("/broadcast", "application/json", body(100_000))
        .expect_error(400);
    server
        .post("/broadcast", "application/json", "[".repeat(1_000_000))
        .expect_error(400);
}

#[test]
fn token_may_be_nested_128_deep() {
    let server = Server::start();
    let mut alice = server.subscriber(&["a"]);
    let message = |depth: usize| format!(r#"{{"x":{}}}"#, arrays(depth - 2));
    assert_eq!(server.broadcast("a", &message(128)), 1);
    alice.expect(&message(128));
    server.post_broadcast("a", &message(129)).expect_error(400);
    server
        .post_broadcast("a", &message(50_000))
        .expect_error(400);
    let beside = |depth: usize| claims_with(&format!(r#""x":{}"#, arrays(depth - 1)));
    assert_eq!(deliveries(&server.post_token(&sign(&beside(128)))), 1);
    alice.expect("{}");
    server.post_token(&sign(&beside(129))).expect_error(400);
    alice.expect_nothing();
}

#[test]
fn body_is_json_whatever_the_content_type_says() {
    let server = Server::start();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "nonsense",
        "",
        "multipart/form-data",
        FORM,
    ] {
        assert_eq!(
            deliveries(&server.post("/broadcast", kind, &body)),
            0,
            "{kind}"
        );
    }
    let length = body.len();
    let untyped =
        format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    assert_eq!(deliveries(&server.ask(untyped)), 0);
    let blank = format!(" \r\n\t{body}\n");
    assert_eq!(deliveries(&server.post("/broadcast", FORM, blank)), 0);
}

#[test]
fn form_bodies_are_accepted_as_curl_sends_them() {
    let server = Server::start();
    let token = token::publisher("a", "{}");
    let encoded = token.replace('.', "%2E").replace('-', "%2d");
    for body in [
        format!("token={token}"),
        format!("token={encoded}"),
        format!("a=b&token={token}&c"),
        format!("{}={token}", "%74oken"),
    ] {
        assert_eq!(
            deliveries(&server.post("/broadcast", FORM, &body)),
            0,
            "{body}"
        );
    }
    let body = format!("token={token}");
    for kind in [
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded",
    ] {
        assert_eq!(
            deliveries(&server.post("/broadcast", kind, &body)),
            0,
            "{kind}"
        );
    }
}

#[test]
fn form_bodies_without_a_valid_token_are_refused() {
    let server = Server::start();
    let told = |body: &str| server.post("/broadcast", FORM, body).expect_error(400);
    assert_eq!(told("token=x"), "Bad signature");
    assert_eq!(told("token="), "Bad signature");
    assert!(told("a=b").contains("token"));
    told("");
    assert!(told("{}").contains("token"));
    let token = token::publisher("a", "{}");
    server
        .post("/broadcast", "text/plain", format!("token={token}"))
        .expect_error(400);
}

#[test]
fn subscriber_token_cannot_broadcast() {
    let server = Server::start();
    let sentence = server
        .post_token(&token::subscriber(&["a"]))
        .expect_error(400);
    assert_ne!(sentence, "Bad signature");
}
