//! What the log says, and what it must never say.

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::TEXT;
use crate::support::server::Server;
use crate::support::token::{self, SECRET, sign};

#[test]
fn log_never_shows_a_secret_a_token_or_a_payload() {
    let settings = [("BIFROST_LOG", "debug"), ("BIFROST_WRITE_TIMEOUT", "400ms")];
    let mut server = Server::with(&settings);
    let message = r#"{"event":"x","data":"marker-of-the-payload"}"#;
    let subscribe = token::subscriber(&["a"]);
    let publish = token::publisher("a", message);
    let expired = sign(r#"{"channel":"a","message":{"x":"marker-of-the-payload"},"exp":1}"#);
    let unusable = sign(r#"{"channel":5,"message":{"x":"marker-of-the-payload"}}"#);
    let broken = sign(r#"{"channel":"a","message":{"x":"marker-of-the-payload}"#);

    let mut alice = server.connect();
    alice.authenticate(&subscribe);
    alice.expect_confirmed(&["a"]);
    server.post_token(&publish);
    alice.expect(message);
    for refused in [&expired, &unusable, &broken, &format!("{publish}x")] {
        server.post_token(refused).expect_error(400);
    }
    server
        .post(
            "/broadcast",
            "text/plain",
            format!("not JSON: {publish} marker-of-the-payload"),
        )
        .expect_error(400);
    server.post(
        "/broadcast",
        "application/x-www-form-urlencoded",
        format!("token={publish}"),
    );
    server
        .get(&format!("/broadcast?token={publish}"))
        .expect_error(405);
    server
        .get(&format!("/subscribe?token={subscribe}"))
        .expect_error(426);
    server.get(&format!("/nowhere/{publish}")).expect_error(404);
    let mut mallory = server.connect();
    mallory.send("marker-of-the-payload").next();
    mallory.authenticate(&format!("{subscribe}x"));
    mallory.expect_close(4001, "Not Authorized!");
    let mut raw = server.raw();
    raw.authenticate(&sign(r#"{"channels":["a",5],"x":"marker-of-the-payload"}"#))
        .expect_close(4001);
    server
        .raw()
        .send(TEXT & 0x7F, "marker-of-the-payload")
        .send(TEXT, "marker-of-the-payload")
        .expect_close(1002);
    alice.expect(message);
    server.signal(Signal::TERM);
    alice.expect_close(1012, "Service restart");
    server.wait();

    let log = server.stderr.all() + &server.stdout.all();
    let tokens = [&subscribe, &publish, &expired, &unusable, &broken];
    // Claims and signatures; the header is the same for all of them and says nothing.
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    for forbidden in parts.chain([SECRET, "marker-of-the-payload"]) {
        assert!(
            !log.contains(forbidden),
            "the log shows {forbidden:?}:\n{log}"
        );
    }
}

#[test]
fn levels_let_more_or_less_through() {
    let lines_at = |level: &str| {
        let mut server = Server::with(&[("BIFROST_LOG", level)]);
        server.get("/nowhere").expect_error(404);
        server.subscriber(&["a"]).leave();
        server.broadcast("a", "{}");
        server.signal(Signal::TERM);
        server.wait();
        server.stderr.all().lines().count()
    };
    assert!(lines_at("debug") > lines_at("info"), "debug adds nothing");
}

#[test]
fn errors_alone_are_logged_at_level_error() {
    // A free port that was just given back: at this level nobody tells which one was taken.
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
        .port();
    let launch = Launch::serve()
        .env("BIFROST_LOG", "error")
        .env("PORT", port.to_string());
    let mut process = launch.spawn();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = eventually("it listens", || TcpStream::connect(address).ok());
    Http::over(stream).get("/nowhere").expect_error(404);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.stderr.all(), "");
}

#[test]
fn log_goes_to_stderr() {
    let mut server = Server::with(&[("BIFROST_LOG", "debug")]);
    server.broadcast("a", "{}");
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(server.stdout.all(), "");
}
