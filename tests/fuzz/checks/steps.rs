//! What a client does in a session, parsed from an input.
//!
//! The first line has the options, as letters: `a` authenticates with a valid token first, `s`
//! reads only after everything is sent, `r` sends the rest as raw bytes. Without `r` each further
//! line is a step: a letter and its argument.
//!
//! ```text
//! t{"event":"ping"}     a text message
//! a{"channels":["a"]}   authenticates with a signed token with these claims
//! c127                  authenticates with a token for so many channels, up to 200
//! u"a.b.c"              authenticates with any JSON instead of a token
//! bhello                the application broadcasts to the channel `a`
//! Bhello                the same with up to 160 bytes of text, repeated 64 times
//! f\x89hello            a frame: its first byte, and the payload
//! F\x81hello            the same with up to 160 bytes of payload, repeated 512 times
//! w\x81                 raw bytes
//! s                     the server shuts down
//! ```

use std::borrow::Cow;

use super::application;
use super::frames::masked;

/// How often a payload is repeated, so that a short input exceeds the limit of 64 KiB.
const REPETITIONS: usize = 512;
/// How often a broadcast text is repeated, so that a few exceed the limit of the send queue.
const TEXT_REPETITIONS: usize = 64;
/// The most bytes that are repeated: more takes time without testing more.
const MAX_REPEATED: usize = 160;
/// The most steps: more take time without testing more.
const MAX_STEPS: usize = 16;
const TEXT: u8 = 0x81;

/// A parsed input.
pub struct Script<'a> {
    /// Whether it authenticates first.
    pub is_authenticated: bool,
    /// Whether it reads only after everything is sent.
    pub is_slow: bool,
    pub steps: Vec<Step<'a>>,
}

/// A step of a script.
pub enum Step<'a> {
    /// Sends bytes, which may or may not be whole frames.
    Send(Vec<u8>, Framing),
    /// Authenticates with a token with these claims.
    Show(Cow<'a, [u8]>),
    /// The application broadcasts.
    Broadcast(Vec<u8>),
    Shutdown,
}

/// Whether bytes are whole frames, so that the server can parse what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Whole,
    Unknown,
}

impl<'a> Script<'a> {
    /// Parses an input; every input is valid.
    pub fn read(data: &'a [u8]) -> Script<'a> {
        let end = data.iter().position(|&byte| byte == b'\n');
        let (first, rest) = data.split_at(end.unwrap_or(data.len()));
        let rest = rest.get(1..).unwrap_or_default();
        let steps = if first.contains(&b'r') {
            vec![Step::Send(rest.to_vec(), Framing::Unknown)]
        } else {
            rest.split(|&byte| byte == b'\n')
                .filter_map(Step::read)
                .take(MAX_STEPS)
                .collect()
        };
        Script {
            is_authenticated: first.contains(&b'a'),
            is_slow: first.contains(&b's'),
            steps,
        }
    }

    /// Whether the server can parse every frame.
    pub fn is_framed(&self) -> bool {
        let is_unknown = |step: &Step| matches!(step, Step::Send(_, Framing::Unknown));
        !self.steps.iter().any(is_unknown)
    }
}

impl<'a> Step<'a> {
    fn read(line: &'a [u8]) -> Option<Step<'a>> {
        let (&letter, rest) = line.split_first()?;
        let frame = |first, payload: &[u8]| Step::Send(masked(first, payload), Framing::Whole);
        Some(match letter {
            b't' => frame(TEXT, rest),
            b'a' => Step::Show(rest.into()),
            b'c' => Step::Show(many_channels(rest)?.into()),
            b'u' => frame(TEXT, &authenticate(rest)),
            b'b' => Step::Broadcast(rest.to_vec()),
            b'B' => Step::Broadcast(repeated(rest, TEXT_REPETITIONS)),
            b'f' => frame(*rest.first()?, &rest[1..]),
            b'F' => frame(*rest.first()?, &repeated(&rest[1..], REPETITIONS)),
            b'w' => Step::Send(rest.to_vec(), Framing::Unknown),
            b's' => Step::Shutdown,
            _ => return None,
        })
    }
}

fn repeated(payload: &[u8], times: usize) -> Vec<u8> {
    payload[..payload.len().min(MAX_REPEATED)].repeat(times)
}

/// Claims with as many channels as the digits say.
fn many_channels(digits: &[u8]) -> Option<Vec<u8>> {
    let count: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let names: Vec<String> = (0..count.min(200)).map(|i| i.to_string()).collect();
    Some(serde_json::json!({ "channels": names }).to_string().into())
}

/// A frame that authenticates with a token with these claims.
pub fn show(claims: &[u8]) -> Vec<u8> {
    let token = application::sign(application::HEADER.as_bytes(), claims);
    masked(TEXT, &authenticate(format!("\"{token}\"").as_bytes()))
}

fn authenticate(data: &[u8]) -> Vec<u8> {
    [br#"{"event":"authenticate","data":"#, data, b"}"].concat()
}
