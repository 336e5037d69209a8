//! What a client does in a session, read from an input.
//!
//! The first line says how it behaves, in letters: `a` for showing a good token first, `s` for
//! not reading before it has sent everything, `r` for raw: the rest goes out as it is. Otherwise
//! each further line is a step, a letter and what belongs to it:
//!
//! ```text
//! t{"event":"ping"}     a text message
//! a{"channels":["a"]}   shows a token with these claims, signed well
//! c127                  shows a token with so many channels, up to 200
//! u"a.b.c"              shows something of its own making, which is any JSON
//! bhello                has the application broadcast to the channel `a`
//! Bhello                the same with up to 160 bytes of text, 64 times over
//! f\x89hello            a frame: the first byte as it goes out, and the payload
//! F\x81hello            the same with up to 160 bytes of payload, 512 times over
//! w\x81                 bytes on the wire
//! s                     the server is asked to stop
//! ```

use std::borrow::Cow;

use super::application;
use super::frames::masked;

/// So often is a payload repeated, to get over the limit of 64 KiB with little input.
const REPETITIONS: usize = 512;
/// And so often a text that is broadcast: some of them are more than may wait.
const TEXT_REPETITIONS: usize = 64;
/// So much of it, in bytes: more costs time and shows nothing new.
const MAX_REPEATED: usize = 160;
/// More steps cost time and show nothing new.
const MAX_STEPS: usize = 16;
const TEXT: u8 = 0x81;

/// A whole input.
pub struct Script<'a> {
    /// It shows a good token before all else.
    pub is_authenticated: bool,
    /// It does not read before it has sent everything.
    pub is_slow: bool,
    pub steps: Vec<Step<'a>>,
}

/// One thing to do.
pub enum Step<'a> {
    /// Goes out as it is; whole frames, or nobody knows what.
    Send(Vec<u8>, Framing),
    /// Shows a token with these claims.
    Show(Cow<'a, [u8]>),
    /// Something is broadcast.
    Broadcast(Vec<u8>),
    Shutdown,
}

/// Whether bytes are whole frames, so that what follows them is understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Whole,
    Unknown,
}

impl<'a> Script<'a> {
    /// Every input means something.
    pub fn read(data: &'a [u8]) -> Script<'a> {
        let end = data.iter().position(|&byte| byte == b'\n');
        let (first, rest) = data.split_at(end.unwrap_or(data.len()));
        let rest = rest.get(1..).unwrap_or_default();
        let steps = match first.contains(&b'r') {
            true => vec![Step::Send(rest.to_vec(), Framing::Unknown)],
            false => rest
                .split(|&byte| byte == b'\n')
                .filter_map(Step::read)
                .take(MAX_STEPS)
                .collect(),
        };
        Script {
            is_authenticated: first.contains(&b'a'),
            is_slow: first.contains(&b's'),
            steps,
        }
    }

    /// Whether the server can make out each frame that it gets.
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

/// A frame that shows a token with these claims.
pub fn show(claims: &[u8]) -> Vec<u8> {
    let token = application::sign(application::HEADER.as_bytes(), claims);
    masked(TEXT, &authenticate(format!("\"{token}\"").as_bytes()))
}

fn authenticate(data: &[u8]) -> Vec<u8> {
    [br#"{"event":"authenticate","data":"#, data, b"}"].concat()
}
