//! `bifrost broadcast`: messages are signed and delivered; an error is one sentence.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use crate::support::free_address;
use crate::support::process::{Launch, Outcome};
use crate::support::server::Server;
use crate::support::token::SECRET;

/// One sentence on stderr, nothing on stdout.
#[track_caller]
fn expect_failure(outcome: &Outcome, code: i32, words: &[&str]) {
    outcome.expect_refusal(code, words);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.lines().count()),
        ("", 1),
        "{outcome:?}"
    );
    assert!(outcome.stderr.starts_with("bifrost: "), "{outcome:?}");
}

/// A server that answers one request with these bytes, whatever is asked.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        let _ = stream.read(&mut request); // whatever it is
        stream.write_all(answer).expect("answer");
        // A close before the rest of the request has arrived would reset the connection.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    format!("http://{address}")
}

#[test]
fn message_is_sent_and_deliveries_are_printed() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.subscriber(&["news"]), server.subscriber(&["news"]));
    let outcome = server
        .command(&["broadcast", "news", "--event", "hi", "--data", "you"])
        .run();
    assert_eq!(outcome.expect_line(), "2");
    for subscriber in [&mut alice, &mut bob] {
        subscriber.expect(r#"{"event":"hi","data":"you"}"#);
    }
    let outcome = server
        .command(&["broadcast", "nobody", "--event", "hi"])
        .run();
    assert_eq!(outcome.expect_line(), "0");
}

#[test]
fn json_and_stdin_are_sent_as_they_are() {
    let server = Server::start();
    let mut alice = server.subscriber(&["news"]);
    let message = r#"{ "z":1.50, "event":"\u00e4" }"#;
    assert_eq!(
        server
            .command(&["broadcast", "news", "--json", message])
            .run()
            .expect_line(),
        "1"
    );
    alice.expect(message);
    let command = server.command(&["broadcast", "news", "--event", "e", "--data", "-"]);
    assert_eq!(command.input("two\nlines\n").run().expect_line(), "1");
    alice.expect(r#"{"event":"e","data":"two\nlines"}"#);
}

#[test]
fn each_line_is_a_message_over_one_connection() {
    let server = Server::with(&[("BIFROST_LOG", "debug")]);
    let mut alice = server.subscriber(&["news"]);
    let command = server.command(&["broadcast", "news", "--event", "e", "--lines"]);
    let outcome = command.input("one\n\nthree\r\nlast").run();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (Some(0), "1\n1\n1\n1\n")
    );
    for data in ["one", "", "three", "last"] {
        alice.expect(&format!(r#"{{"event":"e","data":"{data}"}}"#));
    }
    // Every connection has a number in the log; the subscriber's was the first.
    let numbers = |wanted: &str| {
        server
            .stderr
            .so_far()
            .iter()
            .filter(|l| l.contains(wanted))
            .count()
    };
    server.stderr.wait_for("the end of conn=2", |line| {
        line.contains("conn=2").then_some(())
    });
    assert_eq!(numbers("conn=3"), 0, "{:#?}", server.stderr.so_far());
}

#[test]
fn each_line_may_be_a_whole_message() {
    let server = Server::start();
    let mut alice = server.subscriber(&["news"]);
    let command = server.command(&["broadcast", "news", "--json", "-", "--lines"]);
    let outcome = command
        .input("{\"event\":\"a\"}\n{\"event\":\"b\"}\n")
        .run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "1\n1\n"));
    alice.expect(r#"{"event":"a"}"#);
    alice.expect(r#"{"event":"b"}"#);
}

#[test]
fn each_line_is_sent_at_once() {
    let server = Server::start();
    let mut alice = server.subscriber(&["news"]);
    let command = server.command(&["broadcast", "news", "--event", "e", "--lines"]);
    let mut process = command.open_input().spawn();
    let mut stdin = process.stdin.take().expect("stdin is open");
    for data in ["1", "2"] {
        stdin
            .write_all(format!("{data}\n").as_bytes())
            .expect("a line");
        alice.expect(&format!(r#"{{"event":"e","data":"{data}"}}"#));
    }
    drop(stdin);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn closed_connection_is_opened_again() {
    let server = Server::with(&[("BIFROST_IDLE_TIMEOUT", "50ms"), ("BIFROST_LOG", "debug")]);
    let mut alice = server.subscriber(&["news"]);
    let command = server.command(&["broadcast", "news", "--event", "e", "--lines"]);
    let mut process = command.open_input().spawn();
    let mut stdin = process.stdin.take().expect("stdin is open");
    stdin.write_all(b"one\n").expect("a line");
    alice.expect(r#"{"event":"e","data":"one"}"#);
    server.stderr.wait_for("the end of conn=2", |line| {
        line.contains("disconnected conn=2 ").then_some(())
    });
    stdin.write_all(b"two\n").expect("a line");
    alice.expect(r#"{"event":"e","data":"two"}"#);
    drop(stdin);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn bad_line_is_an_error_with_its_number() {
    let server = Server::start();
    let command = server.command(&["broadcast", "news", "--json", "-", "--lines"]);
    let outcome = command.input("{}\nnonsense\n{}\n").run();
    outcome.expect_refusal(1, &["line 2", "not JSON"]);
    assert_eq!(outcome.stdout, "0\n");
}

#[test]
fn closed_output_ends_it() {
    let server = Server::start();
    let script =
        r#"{ yes | "$BIFROST" broadcast a --event e --lines; echo "status $?" >&2; } | head -1"#;
    let outcome = server.command(&[]).script(script).run();
    assert_eq!(outcome.stdout, "0\n");
    assert!(
        outcome.stderr.contains("nobody reads the output"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("status 1"), "{outcome:?}");
}

#[test]
fn another_secret_is_an_error_with_its_cause() {
    let server = Server::start();
    let command = server.command(&["broadcast", "news", "--event", "e"]);
    let outcome = command.env("JWT_SECRET", SECRET.to_uppercase()).run();
    expect_failure(
        &outcome,
        1,
        &[
            "400",
            "Bad signature",
            "secret",
            &server.address.to_string(),
        ],
    );
}

#[test]
fn message_over_the_limit_is_an_error() {
    let server = Server::with(&[("BIFROST_MAX_BODY", "1KiB")]);
    let command = server.command(&["broadcast", "news", "--event", "e", "--data", "-"]);
    let outcome = command.input("x".repeat(3000)).run();
    expect_failure(&outcome, 1, &["413", "BIFROST_MAX_BODY"]);
}

#[test]
fn unreachable_server_is_an_error() {
    let address = free_address();
    let launch = Launch::bare()
        .env("JWT_SECRET", SECRET)
        .env("PORT", address.port().to_string());
    let outcome = launch.args(&["broadcast", "news", "--event", "e"]).run();
    expect_failure(
        &outcome,
        1,
        &[&address.to_string(), "is the server running"],
    );
}

#[test]
fn answer_of_another_server_is_an_error() {
    for (answer, words) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..],
            "no Bifrost",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "404",
        ),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "redirect",
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "502",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "HTTP"),
        (b"", "no answer"),
    ] {
        let launch = Launch::bare().env("JWT_SECRET", SECRET);
        let arguments = [
            "broadcast",
            "news",
            "--event",
            "e",
            "--url",
            &answering(answer),
        ];
        expect_failure(&launch.args(&arguments).run(), 1, &[words]);
    }
}

#[test]
fn url_flag_wins_over_variable_wins_over_port() {
    let server = Server::start();
    let url = format!("ws://{}/subscribe", server.address);
    let launch = Launch::bare().env("JWT_SECRET", SECRET).env("PORT", "1");
    let launch = launch.env("BIFROST_URL", "http://127.0.0.1:1");
    let outcome = launch
        .args(&["broadcast", "a", "--event", "e", "--url", &url])
        .run();
    assert_eq!(outcome.expect_line(), "0");
    let port = server.address.port().to_string();
    let dotenv = format!("PORT={port}\nHOST=0.0.0.0\nJWT_SECRET={SECRET}\n");
    let outcome = Launch::bare()
        .dotenv(&dotenv)
        .args(&["broadcast", "a", "--event", "e"])
        .run();
    assert_eq!(outcome.expect_line(), "0");
}

#[test]
fn unusable_url_is_refused() {
    for (url, words) in [
        ("https://example.com", "no TLS"),
        ("wss://example.com/subscribe", "curl"),
        ("example.com", "http://"),
        ("http://me:password@example.com", "without a name"),
        ("http://example.com:0", "port"),
    ] {
        let launch = Launch::bare().env("JWT_SECRET", SECRET);
        let outcome = launch
            .args(&["broadcast", "a", "--event", "e", "--url", url])
            .run();
        expect_failure(&outcome, 2, &["--url", url, words]);
    }
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let server = Server::start();
    for arguments in [
        &["a"][..],
        &["a", "--lines"],
        &["a", "--event", "e", "--data", "d", "--lines"],
        &["a", "--json", "{}", "--lines"],
        &["a", "--json", "[]"],
        &["", "--event", "e"],
    ] {
        let outcome = server.command(&["broadcast"]).args(arguments).run();
        outcome.expect_refusal(2, &[]);
        assert_eq!(outcome.stdout, "", "{arguments:?}");
    }
}
