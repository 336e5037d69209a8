//! `bifrost token subscribe|broadcast|publisher`: a server accepts the tokens that are printed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::process::Launch;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, SECRET, now, sign_with, subscribe_claims};

fn launch(arguments: &[&str]) -> Launch {
    let launch = Launch::bare().env("JWT_SECRET", SECRET);
    launch.args(&["token"]).args(arguments)
}

#[track_caller]
fn print(arguments: &[&str]) -> String {
    launch(arguments).run().expect_line().to_owned()
}

fn claims_text(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("three parts");
    String::from_utf8(URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("UTF-8")
}

fn claims(token: &str) -> Value {
    serde_json::from_str(&claims_text(token)).expect("claims are JSON")
}

#[test]
fn server_accepts_a_subscriber_token() {
    let server = Server::start();
    let mut alice = server.connect();
    alice.authenticate(&print(&["subscribe", "user:1", "news"]));
    alice.expect_confirmed(&["user:1", "news"]);
    assert_eq!(server.broadcast("news", "{}"), 1);
    alice.expect("{}");
}

#[test]
fn server_accepts_a_message_token() {
    let server = Server::start();
    let mut alice = server.subscriber(&["news"]);
    let token = print(&["broadcast", "news", "--event", "hi", "--data", "\"you\" ✓"]);
    assert_eq!(deliveries(&server.post_token(&token)), 1);
    alice.expect(r#"{"event":"hi","data":"\"you\" ✓"}"#);
    let token = print(&["broadcast", "news", "--event", "hi"]);
    assert_eq!(deliveries(&server.post_token(&token)), 1);
    alice.expect(r#"{"event":"hi"}"#);
}

#[test]
fn message_given_as_json_stays_as_it_is() {
    let message = r#"{ "data":1.0e2, "event" : "\u00e4" }"#;
    let expected = format!(r#"{{"channel":"news","message":{message}}}"#);
    let arguments = ["broadcast", "news", "--expires", "never", "--json"];
    let given = print(&[&arguments[..], &[message]].concat());
    assert_eq!(claims_text(&given), expected);
    let read = launch(&[&arguments[..], &["-"]].concat()).input(format!("{message}\n"));
    assert_eq!(claims_text(read.run().expect_line()), expected);
}

#[test]
fn data_comes_from_stdin_without_its_last_line_break() {
    let arguments = ["broadcast", "news", "--event", "hi", "--data", "-"];
    for (input, data) in [("a\n", "a"), ("a\n\n", "a\n"), ("", ""), ("-5", "-5")] {
        let outcome = launch(&arguments).input(input).run();
        assert_eq!(claims(outcome.expect_line())["message"]["data"], data);
    }
    launch(&arguments)
        .input([0xFF])
        .run()
        .expect_refusal(1, &["UTF-8"]);
}

#[test]
fn data_may_begin_with_a_dash() {
    let token = print(&["broadcast", "news", "--event", "hi", "--data", "-5"]);
    assert_eq!(claims(&token)["message"]["data"], "-5");
}

#[test]
fn publisher_token_lists_its_patterns() {
    let token = print(&["publisher", "news", "user:*", "*"]);
    assert_eq!(claims(&token)["broadcast"], json!(["news", "user:*", "*"]));
}

#[test]
fn pattern_as_a_channel_name_gets_a_warning() {
    let outcome = launch(&["subscribe", "user:*", "news"]).run();
    assert_eq!(
        claims(outcome.expect_line())["channels"],
        json!(["user:*", "news"])
    );
    let words = "user:* is the name of one channel here";
    assert!(outcome.stderr.contains(words), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn server_accepts_a_publisher_token() {
    let server = Server::start();
    let mut alice = server.subscriber(&["user:1"]);
    let token = print(&["publisher", "user:*"]);
    let body = r#"{"channel":"user:1","message":{"event":"e"}}"#;
    let length = body.len();
    let request = format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(deliveries(&server.http().send(request).response()), 1);
    alice.expect(r#"{"event":"e"}"#);
}

#[test]
fn publisher_token_too_long_for_a_header_is_not_signed() {
    let patterns: Vec<String> = (0..40)
        .map(|number| "x".repeat(200) + &number.to_string())
        .collect();
    let mut arguments = vec!["publisher"];
    arguments.extend(patterns.iter().map(String::as_str));
    launch(&arguments)
        .run()
        .expect_refusal(2, &["8000", "fewer"]);
}

#[test]
fn lifetimes_are_those_asked_for() {
    for (arguments, seconds) in [
        (&["subscribe", "a"][..], 3600),
        (&["broadcast", "a", "--event", "e"], 60),
        (&["publisher", "a"], 90 * 86_400),
        (&["subscribe", "a", "--expires", "30s"], 30),
        (&["subscribe", "a", "--expires", "90"], 90),
        (&["publisher", "a", "--expires=2d"], 2 * 86_400),
    ] {
        let before = now();
        let exp = claims(&print(arguments))["exp"].as_u64().expect("a time");
        let latest = now() + seconds + 1;
        assert!((before + seconds..=latest).contains(&exp), "{arguments:?}");
    }
    let token = print(&["subscribe", "a", "--expires", "never"]);
    assert_eq!(claims(&token), json!({"channels": ["a"]}));
}

#[test]
fn what_a_server_would_refuse_is_not_signed() {
    let long = "x".repeat(256);
    let many: Vec<String> = (0..129).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
    for (arguments, words) in [
        (&["subscribe", ""][..], "empty"),
        (&["subscribe", "a", &long], "255"),
        (&[&["subscribe"][..], &many].concat(), "128"),
        (&["broadcast", &long, "--event", "e"], "255"),
        (&["broadcast", "a", "--json", "[]"], "object"),
        (&["broadcast", "a", "--json", "{"], "not JSON"),
        (&["broadcast", "a", "--json", &deep], "deep"),
        (&["publisher", "a*b"], "*"),
        (&["publisher", ""], "empty"),
        (&["subscribe", "a", "--expires", "soon"], "soon"),
        (&["subscribe", "a", "--expires", "0"], "1s"),
    ] {
        let outcome = launch(arguments).run();
        outcome.expect_refusal(2, &[words]);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    for arguments in [
        &[][..],
        &["subscribe"],
        &["publisher"],
        &["broadcast", "a"],
        &["broadcast", "a", "--data", "d"],
        &["broadcast", "a", "--event", "e", "--json", "{}"],
        &["broadcast", "--event", "e"],
        &["nonsense"],
        &["subscribe", "a", "--jwt-secret", SECRET],
    ] {
        let outcome = launch(arguments).run();
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(2), ""),
            "{outcome:?}"
        );
    }
}

#[test]
fn secret_comes_from_variable_file_stdin_or_dotenv() {
    let expected = sign_with(
        Algorithm::HS256,
        SECRET.as_bytes(),
        &subscribe_claims(&["a"]),
    );
    let signature = |token: &str| token.rsplit('.').next().map(str::to_owned);
    // The header's spelling is ours, so that only what we sign ourselves can be compared.
    let arguments = [
        "token",
        "subscribe",
        "a",
        "--expires",
        "never",
        "--jwt-algorithm",
        "HS256",
    ];
    let bare = || Launch::bare().args(&arguments);
    let by_variable = bare().env("JWT_SECRET", SECRET).run();
    let by_file = bare()
        .file("s", SECRET)
        .args(&["--jwt-secret-file", "s"])
        .run();
    let by_variable_file = bare().file("s", SECRET).env("JWT_SECRET_FILE", "s").run();
    let by_stdin = bare()
        .input(format!("{SECRET}\n"))
        .args(&["--jwt-secret-file", "-"])
        .run();
    let by_dotenv = bare().dotenv(&format!("JWT_SECRET={SECRET}\n")).run();
    let first = by_variable.expect_line();
    assert!(signature(first).is_some() && signature(&expected).is_some());
    for other in [&by_file, &by_variable_file, &by_stdin, &by_dotenv] {
        assert_eq!(other.expect_line(), first);
    }
    let server = Server::with(&[("JWT_ALGORITHM", "HS256")]);
    let mut alice = server.connect();
    alice.authenticate(first);
    alice.expect_confirmed(&["a"]);
}

#[test]
fn secret_that_the_server_would_refuse_is_refused() {
    let bare = || Launch::bare().args(&["token", "subscribe", "a"]);
    bare().run().expect_refusal(2, &["JWT_SECRET"]);
    let short = bare().env("JWT_SECRET", "short-and-secret").run();
    short.expect_refusal(2, &["JWT_SECRET", "32"]);
    assert!(!short.stderr.contains("short-and-secret"), "{short:?}");
    bare()
        .env("JWT_SECRET_FILE", "none")
        .run()
        .expect_refusal(1, &["none"]);
    bare()
        .input("short")
        .env("JWT_SECRET_FILE", "-")
        .run()
        .expect_refusal(2, &["stdin", "32"]);
    let both = bare()
        .env("JWT_SECRET", SECRET)
        .env("JWT_SECRET_FILE", "-")
        .run();
    both.expect_refusal(2, &["both"]);
}

#[test]
fn secret_and_data_do_not_both_come_from_stdin() {
    let launch = Launch::bare().args(&["token", "broadcast", "a", "--event", "e", "--data", "-"]);
    let outcome = launch.args(&["--jwt-secret-file", "-"]).input(SECRET).run();
    outcome.expect_refusal(2, &["the secret", "the data", "stdin"]);
}

#[test]
fn settings_of_the_server_do_not_matter() {
    let outcome = launch(&["subscribe", "a"]).env("PORT", "80a").run();
    outcome.expect_line();
}

#[test]
fn full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let script = r#""$BIFROST" token subscribe a > /dev/full"#;
    let launch = Launch::bare()
        .env("JWT_SECRET", token::SECRET)
        .script(script);
    launch.run().expect_refusal(1, &["stdout"]);
    let script = r#"{ sleep 0; "$BIFROST" man; echo "status $?" >&2; } | head -1 >/dev/null"#;
    let outcome = Launch::bare().script(script).run();
    assert!(outcome.stderr.contains("status 0"), "{outcome:?}");
}
