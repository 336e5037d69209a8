//! What the log contains, and what it must never contain.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use jsonwebtoken::Algorithm;
use rustix::process::Signal;

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{HANDSHAKE, TEXT};
use crate::support::server::Server;
use crate::support::token::{self, SECRET, now, sign, sign_parts, sign_with};

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
    // Claims and signatures; the header is the same in all tokens and reveals nothing.
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    for forbidden in parts.chain([SECRET, "marker-of-the-payload"]) {
        assert!(
            !log.contains(forbidden),
            "the log shows {forbidden:?}:\n{log}"
        );
    }
}

/// The first log line that contains `event`, from that word on.
fn line(server: &Server, event: &str) -> String {
    let from = |line: &str| line.find(event).map(|at| line[at..].to_owned());
    server.stderr.wait_for(event, from)
}

/// Tokens with one defect each, and the reason in the log; valid for subscribing and broadcasting
/// otherwise.
fn refused_tokens() -> [(&'static str, String); 7] {
    const CLAIMS: &str =
        r#""channels":["a"],"channel":"a","message":{"x":"marker-of-the-payload"}"#;
    let good = format!("{{{CLAIMS}}}");
    let with = |more: String| sign(&format!("{{{CLAIMS},{more}}}"));
    let deep = format!(r#""x":{}{}"#, "[".repeat(128), "]".repeat(128));
    let (secret, algorithm) = (SECRET.as_bytes(), Algorithm::HS512);
    [
        (
            "malformed",
            sign_parts("{}", good.as_bytes(), secret, algorithm),
        ),
        ("algorithm", sign_with(Algorithm::HS256, secret, &good)),
        ("signature", sign_with(algorithm, b"another-secret", &good)),
        ("claims", with(r#""exp":"soon""#.into())),
        ("too_deep", with(deep)),
        ("expired", with(r#""exp":1"#.into())),
        (
            "not_yet_valid",
            with(format!(r#""nbf":{}"#, now() + 10_000)),
        ),
    ]
}

#[test]
fn refused_tokens_are_logged_with_a_reason_that_the_client_is_not_told() {
    for (reason, token) in refused_tokens() {
        let mut server = Server::start(); // lines of one kind are throttled to one a second
        let response = server.post_token(&token);
        let told = match reason {
            "too_deep" => "claims are nested over 128 levels deep",
            _ => "Bad signature",
        };
        response.expect_json(400, &format!(r#"{{"error":"{told}"}}"#));
        let mut mallory = server.connect();
        mallory.authenticate(&token);
        mallory.expect_close(4001, "Not Authorized!");
        assert_eq!(
            line(&server, "broadcast refused"),
            format!("broadcast refused status=400 reason={told:?} token={reason} suppressed=0")
        );
        let refused = line(&server, "token refused conn=");
        let end = format!(" code=4001 reason={reason} suppressed=0");
        assert!(refused.ends_with(&end), "{refused}");
        server.signal(Signal::TERM);
        server.wait();
        let log = server.stderr.all();
        let parts = token.split('.').skip(1);
        for forbidden in parts.chain([SECRET, "another-secret", "marker-of-the-payload"]) {
            assert!(!log.contains(forbidden), "{forbidden:?} in:\n{log}");
        }
    }
}

#[test]
fn refused_publisher_tokens_are_logged_with_their_reason() {
    let server = Server::start();
    let token = sign(r#"{"broadcast":["*"],"exp":1}"#);
    let body = r#"{"channel":"a","message":{}}"#;
    let request = format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    server
        .ask(request)
        .expect_json(401, r#"{"error":"Bad signature"}"#);
    assert_eq!(
        line(&server, "broadcast refused"),
        r#"broadcast refused status=401 reason="Bad signature" token=expired suppressed=0"#
    );
}

#[test]
fn valid_tokens_without_the_needed_claims_are_logged_with_that_reason() {
    let server = Server::start();
    server.post_token(&sign("{}")).expect_error(400);
    assert_eq!(
        line(&server, "broadcast refused"),
        r#"broadcast refused status=400 reason="channel is missing" suppressed=0"#
    );
    let mut mallory = server.connect();
    mallory.authenticate(&sign(r#"{"channel":"a"}"#));
    mallory.expect_close(4001, "Not Authorized!");
    let refused = line(&server, "token refused");
    assert!(
        refused.ends_with(" code=4001 reason=channels suppressed=0"),
        "{refused}"
    );
}

/// The status of a handshake with this `Origin`.
fn status_from(server: &Server, origin: &str) -> u16 {
    let handshake = HANDSHAKE.replace("Host: x", &format!("Host: x\r\nOrigin: {origin}"));
    server.ask(handshake).status
}

#[test]
fn origin_that_is_not_allowed_is_logged() {
    let server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", "https://a.example")]);
    assert_eq!(status_from(&server, "https://a.example"), 101);
    assert_eq!(status_from(&server, "https://b.example"), 403);
    let refused = server.stderr.wait_for("subscriber refused", |line| {
        line.contains("subscriber refused").then(|| line.to_owned())
    });
    let expected = " WARN subscriber refused status=403 origin=\"https://b.example\" \
                    reason=\"not in BIFROST_ALLOWED_ORIGINS\" suppressed=0";
    assert!(refused.ends_with(expected), "{refused}");
}

#[test]
fn logged_origin_is_escaped_and_truncated() {
    let server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", "https://a.example")]);
    let forged = format!("x\" suppressed=7\tERROR panic\\{}", "y".repeat(4000));
    assert_eq!(status_from(&server, &forged), 403);
    let refused = line(&server, "subscriber refused");
    let start = "subscriber refused status=403 origin=\"x\\\" suppressed=7\\tERROR panic\\\\yyy";
    assert!(refused.starts_with(start), "{refused}");
    assert_eq!(
        refused.matches('y').count(),
        100 - "x\" suppressed=7\tERROR panic\\".len()
    );
    assert!(refused.ends_with(" suppressed=0"), "{refused}");
}

#[test]
fn refused_origins_are_logged_once_a_second() {
    let mut server = Server::with(&[("BIFROST_ALLOWED_ORIGINS", "https://a.example")]);
    let (started, pages) = (Instant::now(), 200);
    for _ in 0..pages {
        assert_eq!(status_from(&server, "https://b.example"), 403);
    }
    let seconds = started.elapsed().as_secs();
    server.signal(Signal::TERM);
    server.wait();
    let log = server.stderr.all();
    let lines = log.matches("subscriber refused").count() as u64;
    assert!((1..=2 + seconds).contains(&lines), "{lines} lines:\n{log}");
}

#[test]
fn connection_is_logged_with_the_address_and_port_of_its_peer() {
    let server = Server::with(&[("BIFROST_LOG", "debug")]);
    let stream = TcpStream::connect(server.address).expect("a connection");
    let peer = stream.local_addr().expect("an address");
    let logged = line(&server, &format!("peer={peer}"));
    assert_eq!(logged.trim_end(), format!("peer={peer}"));
}

#[test]
fn log_level_selects_which_lines_are_written() {
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
    // A port that was free a moment ago: at this level the log does not name the port.
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
