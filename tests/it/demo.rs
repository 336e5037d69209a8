//! `bifrost demo`: a server to try out, without any configuration.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::process::Launch;
use crate::support::server::{Server, deliveries};

const MESSAGE: &str = r#"{"message":{"event":"hello","data":"{\"n\": 1.0}"}}"#;

/// A demo server on a free port, so that tests can run in parallel.
fn demo() -> Server {
    Launch::bare().env("PORT", "0").args(&["demo"]).start()
}

fn claims(token: &str) -> Option<Value> {
    let (_, rest) = token.split_once('.')?;
    let (claims, _) = rest.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// The lines that it printed, once they contain a token of each kind and a command line.
fn printed(server: &Server) -> Vec<String> {
    crate::support::eventually("the demo has told everything", || {
        let lines = [server.stdout.so_far(), server.stderr.so_far()].concat();
        let subscriber = tokens(&lines)
            .iter()
            .any(|(_, claims)| claims["channels"].is_array());
        let command = lines.iter().any(|line| line.contains("curl "));
        (subscriber && command).then_some(lines)
    })
}

/// The tokens in these lines, with their claims.
fn tokens(lines: &[String]) -> Vec<(String, Value)> {
    let in_a_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let words = lines.iter().flat_map(|line| line.split(|c| !in_a_token(c)));
    words
        .filter_map(|word| Some((word.to_owned(), claims(word)?)))
        .collect()
}

#[test]
fn demo_listens_on_the_loopback_and_prints_its_address() {
    let server = demo();
    assert_eq!(server.address.ip().to_string(), "127.0.0.1");
    let lines = printed(&server);
    let address = format!("http://{}", server.address);
    let local = format!("http://localhost:{}", server.address.port());
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&address) || line.contains(&local)),
        "{lines:#?}"
    );
    let is_last = |line: &str| (line == "Stop with Ctrl-C. The log follows.").then_some(());
    server.stdout.wait_for("the end of the text", is_last);
}

#[test]
fn printed_token_subscribes_and_printed_command_broadcasts() {
    let server = demo();
    let lines = printed(&server);
    let (token, claims) = tokens(&lines)
        .into_iter()
        .find(|(_, claims)| claims["channels"].is_array())
        .expect("a subscriber token");
    let channels: Vec<&str> = claims["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut alice = server.connect();
    alice.authenticate(&token);
    alice.expect_confirmed(&channels);

    let command = lines
        .iter()
        .find_map(|line| line.find("curl ").map(|start| &line[start..]))
        .expect("a curl line");
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: this machine has no curl");
        return;
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .output()
        .expect("run the shell");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(
        answer.contains(r#"{"message":"Success","deliveries":1}"#),
        "{command}\n{output:?}"
    );
    let heard: Value = serde_json::from_str(&alice.next()).expect("a message is JSON");
    assert!(heard.is_object());
}

#[test]
fn demo_page_signs_its_own_tokens() {
    let server = demo();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );

    let given = server.get("/demo/token");
    assert_eq!(given.status, 200);
    let given = given.json();
    let channels: Vec<&str> = given["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(channels.contains(&"demo"), "{given}");
    let mut alice = server.connect();
    alice.authenticate(given["token"].as_str().expect("a token"));
    alice.expect_confirmed(&channels);

    let signed = server.post("/demo/sign", "application/json", MESSAGE);
    assert_eq!(signed.status, 200, "{}", signed.text());
    let signed = signed.json();
    let response = server.post_token(signed["token"].as_str().expect("a token"));
    assert_eq!(deliveries(&response), 1);
    let heard: Value = serde_json::from_str(&alice.next()).expect("a message is JSON");
    assert_eq!(
        heard,
        serde_json::json!({ "event": "hello", "data": "{\"n\": 1.0}" })
    );
}

#[test]
fn demo_refuses_to_sign_anything_but_a_message() {
    let server = demo();
    for body in [
        "",
        "hello",
        "{}",
        r#"{"message":5}"#,
        r#"{"message":[]}"#,
        "[]",
    ] {
        server
            .post("/demo/sign", "application/json", body)
            .expect_error(400);
    }
    server.get("/demo/sign").expect_error(405);
    server
        .post("/demo/token", "application/json", "{}")
        .expect_error(405);
}

/// A page that makes its own name resolve to this machine gets nothing (DNS rebinding).
#[test]
fn demo_is_only_for_this_machine() {
    let server = demo();
    let ask = |method: &str, path: &str, host: &str| {
        let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
        server.ask(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{rest}"
        ))
    };
    let port = server.address.port();
    for (method, path) in [("GET", "/"), ("GET", "/demo/token"), ("POST", "/demo/sign")] {
        let sentence = ask(method, path, &format!("evil.example:{port}")).expect_error(403);
        assert!(
            sentence.contains(&format!("http://127.0.0.1:{port}")),
            "{sentence}"
        );
        for host in [
            "localhost",
            "127.0.0.1:1",
            "[::1]:3000",
            "demo.localhost:3000",
        ] {
            assert_ne!(ask(method, path, host).status, 403, "{path} {host}");
        }
    }
    assert_eq!(ask("GET", "/healthz", "evil.example").status, 200);
    assert_eq!(server.ask("GET /demo/token HTTP/1.0\r\n\r\n").status, 200);
    let named = Launch::bare().env("PORT", "0").env("HOST", "localhost");
    let named = named.args(&["demo"]).start();
    assert_eq!(named.get("/demo/token").status, 200);
}

#[test]
fn demo_secrets_differ_from_start_to_start() {
    let (one, other) = (demo(), demo());
    let token = one.post("/demo/sign", "application/json", MESSAGE).json();
    let token = token["token"].as_str().expect("a token");
    assert_eq!(deliveries(&one.post_token(token)), 0);
    other
        .post_token(token)
        .expect_json(400, r#"{"error":"Bad signature"}"#);
}

#[test]
fn normal_server_does_not_serve_the_demo() {
    let server = Server::start();
    server.get("/demo/token").expect_error(404);
    server
        .post("/demo/sign", "application/json", MESSAGE)
        .expect_error(404);
    server.get("/demo").expect_error(404);
}
