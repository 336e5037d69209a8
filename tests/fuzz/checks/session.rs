//! Sessions: whatever a client sends, the server speaks WebSocket, keeps its memory within bounds,
//! delivers what it says that it delivers, and frees everything in the end.
//!
//! `steps` says what an input means. The connection is a socket pair instead of TCP, and no time
//! limit passes; everything else is the server's own, from the handshake to the last frame.

use serde_json::Value;

use super::application;
use super::frames::{self, Frame, masked};
use super::json::Object;
use super::memory;
use super::peer::{KERNEL_HOLDS, Peer, QUEUE, Server};
use super::steps::{self, Script, Step};

const HANDSHAKE: &str = "GET /subscribe HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
/// The claims of a script that begins with a valid token, and their channels.
const FIRST_CLAIMS: &str = r#"{"channels":["a","b"]}"#;
const FIRST_CHANNELS: [&str; 2] = ["a", "b"];
/// The channel of every broadcast.
const CHANNEL: &str = "a";
/// Longest response to a handshake, in bytes.
const MAX_HEAD: usize = 512;
/// The close code of a client that is done.
const NORMAL: u16 = 1000;
/// The close code of a client that has not read fast enough.
const TOO_SLOW: u16 = 1013;
/// A ping whose pong says that everything before it was read and answered.
const PROBE: &[u8] = b"is that all?";
/// The memory that a session may take, in bytes: a message that grows by doubling, with its frame,
/// the token in it as text, claims and names; and what may wait.
const MAX_MEMORY: usize = 512 * 1024 + 2 * QUEUE;

/// What happened in one session.
struct Report {
    /// What the server sent behind its handshake.
    received: Vec<u8>,
    /// The messages that it says it has delivered.
    deliveries: usize,
    /// The bytes of the messages that it delivered.
    taken: usize,
    /// The channels in the tokens that were shown; none if they can't be told.
    shown: Option<Vec<String>>,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let script = Script::read(data);
    let server = Server::new();
    let (report, memory) = memory::peak(|| {
        let report = Session::run(&server, &script);
        server.drain();
        report
    });
    // What was received, the copies that look for its end, and the largest step.
    let step = script.steps.iter().map(taken_by).max().unwrap_or(0);
    let ours = 6 * report.received.capacity() + step;
    assert!(
        memory <= MAX_MEMORY + ours,
        "{memory} bytes taken, {ours} of them ours"
    );
    check_received(&script, &report);
    check_nothing_is_left(&server);
}

/// The memory that a step takes at most, beside the bytes that it sends.
fn taken_by(step: &Step<'_>) -> usize {
    match step {
        // As a token, in an event, in a frame.
        Step::Show(claims) => 8 * claims.len(),
        // In JSON, where a character may take six bytes, and from there the same way.
        Step::Broadcast(text) => 64 * text.len(),
        Step::Send(..) | Step::Shutdown => 0,
    }
}

/// A client that follows a script.
struct Session<'a> {
    server: &'a Server,
    peer: Peer,
    report: Report,
    broadcasts: usize,
    /// The largest message that was broadcast to it, in bytes.
    largest: usize,
    /// The bytes received up to the answer of the last probe.
    answered: usize,
}

impl Session<'_> {
    fn run(server: &Server, script: &Script<'_>) -> Report {
        let mut session = Session {
            server,
            peer: server.connect(),
            report: Report {
                received: Vec::new(),
                deliveries: 0,
                taken: 0,
                shown: Some(Vec::new()),
            },
            broadcasts: 0,
            largest: 0,
            answered: 0,
        };
        session.begin(script);
        for step in &script.steps {
            // Otherwise it would not be known how far the server has come.
            let is_from_elsewhere = matches!(step, Step::Broadcast(_) | Step::Shutdown);
            if is_from_elsewhere && script.is_framed() && !script.is_slow {
                session.probe();
            }
            session.take(step);
            if !script.is_slow {
                session.peer.read();
            }
        }
        session.end(script)
    }

    fn begin(&mut self, script: &Script<'_>) {
        self.peer.say(HANDSHAKE.as_bytes());
        let mut frames = 0;
        if script.is_authenticated {
            self.show(FIRST_CLAIMS.as_bytes());
            frames = FIRST_CHANNELS.len();
        }
        let has_begun = |heard: &[u8]| {
            find_end(heard).is_some_and(|end| frames::read_whole(&heard[end..]).len() >= frames)
        };
        // Waiting costs more than all the rest, so a script waits only if it has to.
        let stops = script
            .steps
            .iter()
            .any(|step| matches!(step, Step::Shutdown));
        if stops || script.is_slow {
            self.peer.read_until(has_begun);
        }
    }

    fn take(&mut self, step: &Step<'_>) {
        match step {
            Step::Send(bytes, _) => self.peer.say(bytes),
            Step::Show(claims) => self.show(claims),
            Step::Broadcast(text) => self.broadcast(text),
            Step::Shutdown => self.server.shutdown.trigger(),
        }
    }

    fn show(&mut self, claims: &[u8]) {
        let listed = std::str::from_utf8(claims).ok().map(|claims| {
            let channels = Object::read(claims).and_then(|claims| claims.value("channels"));
            channels.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok())
        });
        match (&mut self.report.shown, listed) {
            (Some(shown), Some(listed)) => shown.extend(listed.into_iter().flatten()),
            (shown, _) => *shown = None,
        }
        self.peer.say(&steps::show(claims));
    }

    /// Broadcasts a numbered message, over a connection of the application.
    fn broadcast(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let message = serde_json::json!({ "number": self.broadcasts, "text": text });
        self.broadcasts += 1;
        let claims = serde_json::json!({ "channel": CHANNEL, "message": message }).to_string();
        let token = application::sign(application::HEADER.as_bytes(), claims.as_bytes());
        let body = format!(r#"{{"token":"{token}"}}"#);
        let (status, answer) = self.server.ask("POST /broadcast", &body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let deliveries = answer["deliveries"].as_u64().expect("a number") as usize;
        self.report.deliveries += deliveries;
        self.check_what_waits(deliveries * message.to_string().len());
    }

    /// Only so much waits of what was delivered; the first message is accepted whatever its size.
    fn check_what_waits(&mut self, taken: usize) {
        self.report.taken += taken;
        self.largest = self.largest.max(taken);
        let waits = self.report.taken.saturating_sub(self.peer.received.len());
        let limit = QUEUE + KERNEL_HOLDS + self.largest;
        assert!(waits <= limit, "{waits} bytes wait for a subscriber");
    }

    /// Waits until the server has answered everything, or has closed.
    fn probe(&mut self) {
        self.peer.say(&masked(0x89, PROBE));
        let answered = self.answered;
        self.peer.read_until(|heard| is_all(heard, answered));
        let heard = &self.peer.received;
        assert!(
            is_all(heard, answered),
            "no answer: {}",
            heard.escape_ascii()
        );
        if self.peer.received.ends_with(PROBE) {
            self.answered = self.peer.received.len();
        }
    }

    /// Sends a close frame, where the server can parse one, and reads to the end.
    fn end(mut self, script: &Script<'_>) -> Report {
        if script.is_framed() {
            self.peer.say(&masked(0x88, &NORMAL.to_be_bytes()));
        }
        self.report.received = behind_the_handshake(&self.peer.finish()).to_vec();
        self.report
    }
}

/// Whether the answer of a probe or a close frame was received; `answered` bytes were looked at
/// before.
fn is_all(heard: &[u8], answered: usize) -> bool {
    let Some(begin) = find_end(heard) else {
        return false;
    };
    let frames = frames::read_whole(&heard[begin.max(answered)..]);
    let is_last = |frame: &Frame| match frame {
        Frame::Pong(payload) => payload == PROBE,
        Frame::Close(_) => true,
        _ => false,
    };
    frames.iter().any(is_last)
}

fn behind_the_handshake(heard: &[u8]) -> &[u8] {
    assert!(
        heard.starts_with(b"HTTP/1.1 101 "),
        "{}",
        heard.escape_ascii()
    );
    &heard[find_end(heard).expect("an answer to the handshake")..]
}

fn find_end(heard: &[u8]) -> Option<usize> {
    let head = &heard[..heard.len().min(MAX_HEAD)];
    let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    end.map(|end| end + 4)
}

fn check_received(script: &Script<'_>, report: &Report) {
    let frames = if script.is_framed() {
        frames::read_all(&report.received)
    } else {
        // The client ended the connection, perhaps while a frame was in flight.
        frames::read_whole(&report.received)
    };
    let is_closed = matches!(frames.last(), Some(Frame::Close(_)));
    assert!(
        is_closed || !script.is_framed(),
        "it ends without a close frame"
    );
    let (mut numbers, mut code) = (Vec::new(), None);
    for frame in frames {
        match frame {
            Frame::Text(text) => numbers.extend(read_text(script, report, &text)),
            Frame::Close(with) => code = with,
            Frame::Pong(_) => {}
            Frame::Ping => panic!("it is not time for a ping"),
        }
    }
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "{numbers:?} in this order"
    );
    assert!(
        numbers.len() <= report.deliveries,
        "{numbers:?}, of {}",
        report.deliveries
    );
    // A client whose messages were dropped is told so, whatever else it did at the same moment.
    if script.is_framed() && code != Some(TOO_SLOW) {
        assert_eq!(numbers.len(), report.deliveries, "delivered, it was said");
    }
}

/// The number of a broadcast, if a text is one.
fn read_text(script: &Script<'_>, report: &Report, text: &str) -> Option<u64> {
    let message: Value = serde_json::from_str(text).expect("text that is not JSON");
    match message["event"].as_str() {
        None => return Some(message["number"].as_u64().expect("a broadcast")),
        Some("pong") => assert_eq!(text, r#"{"event":"pong"}"#),
        Some("error") => assert!(data(&message)["message"].is_string(), "{text}"),
        Some("subscribed") => {
            let data = data(&message);
            let name = data["channel"].as_str().expect("a name");
            let is_first = script.is_authenticated && FIRST_CHANNELS.contains(&name);
            let is_shown = |shown: &Vec<String>| shown.iter().any(|shown| shown == name);
            assert!(
                is_first || report.shown.as_ref().is_none_or(is_shown),
                "{text}"
            );
        }
        Some(_) => panic!("an event that there is not: {text}"),
    }
    None
}

/// The JSON in the string that is an event's data.
fn data(message: &Value) -> Value {
    let text = message["data"].as_str().expect("a string");
    serde_json::from_str(text).expect("JSON in a string")
}

fn check_nothing_is_left(server: &Server) {
    let (status, info) = server.ask("GET /info.json", "");
    assert_eq!(status, 200, "{info}");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    for count in ["connected", "channels", "subscriptions"] {
        assert_eq!(info["stats"][count], 0, "{count}: {info}");
    }
}
