//! `bifrost token inspect`: what is in a token, and why a server refuses it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use crate::support::process::{Launch, Outcome};
use crate::support::server::Server;
use crate::support::token::{
    SECRET, now, publish_claims, sign, sign_parts, sign_with, subscribe_claims,
};

fn inspect(token: &str) -> Outcome {
    let launch = Launch::bare().env("JWT_SECRET", SECRET);
    launch.args(&["token", "inspect", "--", token]).run()
}

#[track_caller]
fn expect(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{}", outcome.stdout);
    for word in words {
        assert!(
            outcome.stdout.contains(word),
            "no {word:?}: {}",
            outcome.stdout
        );
    }
    assert!(
        !outcome.stdout.contains(SECRET) && outcome.stderr.is_empty(),
        "{outcome:?}"
    );
}

#[test]
fn good_tokens_are_reported_as_good() {
    let subscribe = inspect(&sign(&subscribe_claims(&["user:1", "news"])));
    expect(
        &subscribe,
        0,
        &["HS512", "user:1", "2 channels", "good: ", "takes it"],
    );
    let broadcast = inspect(&sign(&publish_claims(
        "news",
        r#"{"event":"hi","n":1.0e2}"#,
    )));
    expect(
        &broadcast,
        0,
        &["one message to channel \"news\"", "1.0e2", "takes it"],
    );
    let publisher = inspect(&sign(r#"{"broadcast":["news","user:*"]}"#));
    expect(&publisher, 0, &["2 patterns", "takes it"]);
}

#[test]
fn claims_are_shown_in_their_order() {
    let shown = inspect(&sign(r#"{"z":1,"channels":["a"],"b":{"y":[],"x":2}}"#)).stdout;
    let places: Vec<_> = ["\"z\"", "\"channels\"", "\"b\"", "\"y\"", "\"x\""]
        .iter()
        .map(|key| {
            shown
                .find(key)
                .unwrap_or_else(|| panic!("no {key}: {shown}"))
        })
        .collect();
    assert!(places.is_sorted(), "{shown}");
}

#[test]
fn times_are_printed_in_words() {
    let token = |claims: &str| inspect(&sign(&format!(r#"{{"channels":["a"],{claims}}}"#)));
    let past = now() - 185;
    expect(
        &token(&format!(r#""exp":{past}"#)),
        1,
        &["expired 3 minutes ago, 20", "Z"],
    );
    let later = now() + 2 * 86_400 + 30;
    expect(
        &token(&format!(r#""exp":{later}"#)),
        0,
        &["expires in 2 days, 20"],
    );
    expect(
        &token(&format!(r#""nbf":{later}"#)),
        1,
        &["becomes good in 2 days", "clock"],
    );
    let millis = now() * 1000;
    expect(
        &token(&format!(r#""exp":{millis},"iat":{past}"#)),
        0,
        &["milliseconds", "issued 3 m"],
    );
    expect(&token(r#""exp":"tomorrow""#), 1, &["exp is not a number"]);
}

#[test]
fn malformed_tokens_are_told_apart() {
    let good = sign(&subscribe_claims(&["a"]));
    let parts: Vec<&str> = good.split('.').collect();
    let unpadded = format!("{}.{}=.{}", parts[0], parts[1], parts[2]);
    for (token, words) in [
        ("", "no token"),
        ("abc", "it has 1 part, where"),
        (&format!("{}.{}", parts[0], parts[1]), "signature lost"),
        (
            &format!("{}.{}.", parts[0], parts[1]),
            "nothing comes after",
        ),
        (&unpadded, "padding"),
        (&good.replace('.', "!."), "not base64url"),
        (&good[..good.len() - 1], "breaks off"),
        ("bnVsbA.e30.eA", "no JSON object"),
        (&format!(r#"{{"token":"{good}"}}"#), "without"),
        (&sign("[]"), "no JSON object"),
        (&sign("nonsense"), "no JSON object"),
        (&sign(r#"{"exp":1e300,"exp":2}"#), "duplicate"),
    ] {
        expect(&inspect(token), 1, &[words, "refuses it"]);
    }
}

#[test]
fn wrong_signatures_are_told_apart() {
    let claims = subscribe_claims(&["a"]);
    let other = sign_with(Algorithm::HS256, SECRET.as_bytes(), &claims);
    expect(
        &inspect(&other),
        1,
        &["HS256", "JWT_ALGORITHM is HS512", "good: "],
    );
    let other = sign_with(
        Algorithm::HS512,
        b"another secret of enough bytes!!",
        &claims,
    );
    expect(
        &inspect(&other),
        1,
        &["not signed with this secret of 64 bytes"],
    );
    let other = sign_with(Algorithm::HS512, format!("{SECRET}\n").as_bytes(), &claims);
    expect(&inspect(&other), 1, &["line break"]);
    let none = sign_parts(
        r#"{"alg":"none"}"#,
        claims.as_bytes(),
        b"",
        Algorithm::HS512,
    );
    expect(&inspect(&none), 1, &["alg is \"none\""]);
    let header = r#"{"alg":"HS512","crit":["b64"]}"#;
    let crit = sign_parts(
        header,
        claims.as_bytes(),
        SECRET.as_bytes(),
        Algorithm::HS512,
    );
    expect(&inspect(&crit), 1, &["crit"]);
}

#[test]
fn content_that_is_refused_is_named() {
    let long = "x".repeat(256);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(130), "]".repeat(130));
    let many: Vec<String> = (0..129).map(|number| number.to_string()).collect();
    for (claims, words) in [
        ("{}", "used for nothing"),
        (r#"{"sub":"7"}"#, "used for nothing"),
        (r#"{"channels":"a"}"#, "not an array"),
        (&subscribe_claims(&[&long]), "255"),
        (&subscribe_claims(&many), "128"),
        (&publish_claims(&long, "{}"), "255"),
        (r#"{"channel":"a"}"#, "message is missing"),
        (r#"{"channel":"a","message":"{}"}"#, "not an object"),
        (&publish_claims("a", &deep), "128 levels"),
        (r#"{"broadcast":[]}"#, "no channel"),
        (r#"{"broadcast":["a",1]}"#, "not an array of strings"),
    ] {
        expect(&inspect(&sign(claims)), 1, &[words, "refuses it"]);
    }
    let large = sign(&publish_claims(
        "a",
        &format!("{{\"a\":\"{}\"}}", "x".repeat(2000)),
    ));
    let small_bodies = Launch::bare()
        .env("JWT_SECRET", SECRET)
        .env("BIFROST_MAX_BODY", "1k");
    let outcome = small_bodies.args(&["token", "inspect", &large]).run();
    expect(&outcome, 1, &["body of 1024 bytes"]);
}

/// Compares what the server does with a token to the report.
#[test]
fn inspect_and_server_agree() {
    let server = Server::start();
    let claims = publish_claims("a", "{}");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#);
    for token in [
        sign(&claims),
        sign_with(Algorithm::HS384, SECRET.as_bytes(), &claims),
        sign_with(
            Algorithm::HS512,
            b"another secret of enough bytes!!",
            &claims,
        ),
        sign(&claims.replacen('{', r#"{"exp":1,"#, 1)),
        sign(&claims.replacen('{', r#"{"exp":9e9,"nbf":1.5,"#, 1)),
        sign(r#"{"channel":"a","message":[]}"#),
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(&claims)),
    ] {
        let is_taken = server.post_token(&token).status == 200;
        assert_eq!(
            inspect(&token).code == Some(0),
            is_taken,
            "{}",
            inspect(&token).stdout
        );
    }
}

#[test]
fn without_a_secret_all_but_the_signature_is_checked() {
    let bare = |token: &str| Launch::bare().args(&["token", "inspect", token]).run();
    let outcome = bare(&sign(&subscribe_claims(&["a"])));
    expect(
        &outcome,
        3,
        &["not checked", "JWT_SECRET", "if the signature is good"],
    );
    expect(
        &bare(&sign(r#"{"channels":["a"],"exp":1}"#)),
        1,
        &["expired", "not checked"],
    );
}

#[test]
fn token_comes_from_stdin_with_space_around_it() {
    let launch = || Launch::bare().env("JWT_SECRET", SECRET);
    let input = format!("  {}\r\n\n", sign(&subscribe_claims(&["a"])));
    for arguments in [&["token", "inspect"][..], &["token", "inspect", "-"]] {
        expect(
            &launch().args(arguments).input(&input).run(),
            0,
            &["takes it"],
        );
    }
}

#[test]
fn control_characters_are_not_sent_to_the_terminal() {
    let token = sign("{\"channels\":[\"\u{9b}31m\"]}");
    expect(&inspect(&token), 0, &["\\u009b31m"]);
    let token = sign_parts(
        "\u{1b}[31m",
        b"\x1b[31m",
        SECRET.as_bytes(),
        Algorithm::HS512,
    );
    let shown = inspect(&token).stdout;
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn wrong_settings_are_an_error() {
    let launch = Launch::bare()
        .env("JWT_SECRET", "short")
        .args(&["token", "inspect", "a.b.c"]);
    launch.run().expect_refusal(2, &["JWT_SECRET"]);
    let launch = Launch::bare().args(&["token", "inspect", "a.b.c", "--jwt-algorithm", "none"]);
    launch.run().expect_refusal(2, &["none"]);
}
