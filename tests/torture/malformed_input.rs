//! Random and mutated bytes: no panic, no growth, and a valid response where the server sends one.

use std::net::Shutdown;

use crate::support::http::Http;
use crate::support::raw::{
    BINARY, CLOSE, HANDSHAKE, PING, PONG, RawSocket, TEXT, close_payload, event, frame_head, masked,
};
use crate::support::server::{Server, post};
use crate::support::token;
use crate::tools::proc_stats::ProcStats;
use crate::tools::rng::Rng;

const ROUNDS: usize = 5_000;

/// Growth of the server's memory that fails a test, in KiB: more than a few thousand valid
/// connections cause.
const MAX_GROWTH: usize = 32 * 1024;

/// A server under test, and a subscriber that must not be disturbed.
struct Target {
    server: Server,
    alice: RawSocket,
    before: ProcStats,
}

impl Target {
    fn new() -> Target {
        // Connections that the input leaves open are cut soon.
        let server = Server::with(&[
            ("BIFROST_REQUEST_TIMEOUT", "2s"),
            ("BIFROST_WRITE_TIMEOUT", "2s"),
            ("BIFROST_LOG", "debug"),
        ]);
        let mut alice = server.raw_subscriber(&["a"]);
        alice.expect_nothing();
        let before = ProcStats::of(&server);
        Target {
            server,
            alice,
            before,
        }
    }

    #[track_caller]
    fn expect_undisturbed(&mut self) {
        self.server.wait_connected(1);
        assert_eq!(self.server.broadcast("a", "{}"), 1);
        self.alice.expect_text("{}");
        self.alice.expect_nothing();
        let now = ProcStats::of(&self.server);
        let before = self.before;
        assert!(
            now.memory < before.memory + MAX_GROWTH,
            "{before:?}, {now:?}"
        );
        let log = self.server.stderr.so_far();
        let panics: Vec<_> = log.iter().filter(|line| line.contains("panic")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
    }

    /// Sends bytes and the end of the stream; gives all bytes of the response.
    fn response_to(&self, bytes: &[u8]) -> Vec<u8> {
        let mut http = self.server.http();
        http.try_send(bytes);
        let _ = http.sender().shutdown(Shutdown::Write); // the server may have closed it already
        http.until_end()
    }
}

/// Asserts that the bytes are whole HTTP responses, up to the end or an upgrade.
#[track_caller]
fn expect_responses(request: &[u8], responses: &[u8]) {
    let context = || {
        let (request, responses) = (request.escape_ascii(), responses.escape_ascii());
        format!("{request}\nis answered with\n{responses}")
    };
    let mut rest = responses;
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("an incomplete head: {}", context()));
        let head = std::str::from_utf8(&rest[..end]).expect("heads are ASCII");
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .or(head.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3))
            .unwrap_or_else(|| panic!("no status: {}", context()));
        if status == "101" {
            return;
        }
        const EXPECTED: &str = "100 200 400 403 404 405 408 413 417 426 431 414 501 503 505";
        assert!(EXPECTED.contains(status), "{}", context());
        let length = head.to_ascii_lowercase();
        let length = length
            .split_once("content-length: ")
            .map(|(_, rest)| rest.split("\r\n").next().unwrap_or_default());
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        // The response to a HEAD has a length and no body; nothing follows it here.
        let is_head = request.starts_with(b"HEAD") && rest.len() == end + 4;
        rest = &rest[end + 4..];
        if is_head {
            return;
        }
        assert!(rest.len() >= length, "a body cut off: {}", context());
        rest = &rest[length..];
    }
}

#[test]
fn random_bytes_disturb_no_subscriber() {
    let mut rng = Rng::new();
    let mut target = Target::new();
    for _ in 0..ROUNDS {
        let length = 1 + rng.below(600);
        let bytes = rng.bytes(length);
        expect_responses(&bytes, &target.response_to(&bytes));
    }
    target.expect_undisturbed();
}

#[test]
fn mutated_requests_disturb_no_subscriber() {
    let mut rng = Rng::new();
    let mut target = Target::new();
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("b", r#"{"x":1}"#));
    let chunked = format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let requests: [Vec<u8>; 7] = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".to_vec(),
        b"GET /info.json HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n".to_vec(),
        b"POST /broadcast HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        post("/broadcast", "application/json", &body),
        post("/broadcast", "application/x-www-form-urlencoded", "token=a.b.c&x=%00"),
        chunked.into_bytes(),
        HANDSHAKE.as_bytes().to_vec(),
    ];
    for _ in 0..ROUNDS {
        let mut request = rng.pick(&requests).clone();
        rng.mutate(&mut request);
        expect_responses(&request, &target.response_to(&request));
    }
    target.expect_undisturbed();
}

/// Asserts that the server's bytes are whole frames of the kinds it sends, with at most one close
/// frame, the last.
#[track_caller]
fn expect_frames(sent: &[u8], mut bytes: &[u8]) {
    let context = || format!("in answer to {}", sent.escape_ascii());
    while let [first, second, ..] = *bytes {
        assert!(
            [TEXT, PONG, PING, CLOSE].contains(&first),
            "{first:#04x} {}",
            context()
        );
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            short => (2, usize::from(short)), // no frame here needs the 64-bit length
        };
        assert!(
            second <= 126 && bytes.len() >= start + length,
            "{}",
            context()
        );
        bytes = &bytes[start + length..];
        if first == CLOSE {
            assert_eq!(bytes, b"", "bytes after the close frame, {}", context());
        }
    }
    assert_eq!(bytes, b"", "an incomplete frame, {}", context());
}

/// Valid and invalid frames of a client.
fn frames() -> Vec<Vec<u8>> {
    let token = token::subscriber(&["b", "c"]);
    let oversized = [frame_head(TEXT, 0x80, 70_000), vec![0; 70_000]].concat();
    vec![
        masked(TEXT, r#"{"event":"ping"}"#),
        masked(TEXT, event("authenticate", &token)),
        masked(TEXT, event("other", "ünïcödé \u{1F308}")),
        masked(TEXT, "[1,2"),
        masked(TEXT & 0x7F, r#"{"event":"#),
        masked(0x80, r#""ping"}"#),
        masked(PING, "are you there"),
        masked(PONG, ""),
        masked(BINARY, [0, 1, 2]),
        masked(CLOSE, close_payload(1000, "bye")),
        masked(CLOSE, ""),
        frame_head(TEXT, 0x80, u64::MAX),
        oversized,
    ]
}

#[test]
fn mutated_frames_disturb_no_subscriber() {
    let mut rng = Rng::new();
    let mut target = Target::new();
    let frames = frames();
    for round in 0..ROUNDS {
        let mut raw = target.server.raw();
        // Before and after authentication.
        if round % 2 == 0 {
            raw.authenticate(&token::subscriber(&["b"]));
            raw.expect_confirmed(&["b"]);
        }
        let mut sent = Vec::new();
        for _ in 0..=rng.below(4) {
            let mut frame = rng.pick(&frames).clone();
            if rng.below(4) > 0 {
                rng.mutate(&mut frame);
            }
            sent.extend(frame);
        }
        expect_frames(&sent, &all_frames(raw.http, &sent));
    }
    target.expect_undisturbed();
}

#[test]
fn random_frames_disturb_no_subscriber() {
    let mut rng = Rng::new();
    let mut target = Target::new();
    for _ in 0..ROUNDS {
        let length = 1 + rng.below(300);
        let sent = rng.bytes(length);
        let raw = target.server.raw();
        expect_frames(&sent, &all_frames(raw.http, &sent));
    }
    target.expect_undisturbed();
}

fn all_frames(mut http: Http, sent: &[u8]) -> Vec<u8> {
    http.try_send(sent);
    let _ = http.sender().shutdown(Shutdown::Write); // the server may have closed it already
    http.until_end()
}
