//! Requests out of bytes: however the bytes are split over reads, the same requests come out
//! or the same refusal, and no more memory is taken than the limits say.
//!
//! An input is what a client sends, byte for byte.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use bifrost::http::{Decoder, HttpError, Progress, Request};

use super::memory;

/// Largest body, in bytes.
const MAX_BODY: usize = 2 * 1024;
/// Longest head, in bytes (`src/http/head.rs`).
const MAX_HEAD: usize = 16 * 1024;
/// What the server reads at once, in bytes (`src/socket.rs`).
const READ_SIZE: usize = 4 * 1024;
/// What a decoder may take: the head as it came and as it is kept, the body, and each of the
/// buffers twice, because it grows by doubling. Less than 8 KiB are for a hundred headers.
const MAX_MEMORY: usize = 2 * (MAX_HEAD + READ_SIZE) + MAX_HEAD + 2 * MAX_BODY + 8 * 1024;
/// Heads are looked through from the start with every read, so long ones don't come bytewise.
const MAX_BYTEWISE: usize = 512;

/// The headers that mean something to the server.
const HEADERS: [&str; 10] = [
    "Connection",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Host",
    "Origin",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Transfer-Encoding",
    "Upgrade",
];

/// What came of it all.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// One number for each request, with everything in it.
    requests: Vec<u64>,
    refusal: Option<HttpError>,
    left: Vec<u8>,
    is_inside_a_request: bool,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let outcome = decode(data.chunks(data.len().max(1)));
    let sizes: &[usize] = match data.len() {
        ..=MAX_BYTEWISE => &[READ_SIZE, 1],
        _ => &[READ_SIZE, 509],
    };
    for &size in sizes {
        // What is kept of the outcome is small against the limit, but the rest may not be.
        let (again, memory) = memory::peak(|| decode(data.chunks(size)));
        let ours = again.requests.capacity() * size_of::<u64>() + data.len();
        assert!(
            memory <= MAX_MEMORY + ours,
            "{memory} bytes taken, split by {size}"
        );
        assert_eq!(again, outcome, "split by {size}");
    }
    assert_eq!(decode(Odd::new(data)), outcome, "split oddly");
}

fn decode<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(MAX_BODY);
    let (mut requests, mut left) = (Vec::new(), Vec::new());
    let mut was_asked = false;
    let refusal = 'reading: {
        for part in parts {
            left.extend_from_slice(part);
            loop {
                match decoder.advance(&mut left) {
                    Ok(Progress::Whole(request)) => {
                        requests.push(digest(&request));
                        was_asked = false;
                    }
                    Ok(Progress::AwaitsContinue) => {
                        assert!(!was_asked && left.is_empty(), "a 100 that nobody waits for");
                        was_asked = true;
                    }
                    Ok(Progress::Partial) => break,
                    Err(refusal) => break 'reading Some(refusal),
                }
            }
        }
        None
    };
    if let Some(refusal) = &refusal {
        assert!((400..=505).contains(&refusal.status), "{refusal:?}");
        left.clear(); // what comes behind a refusal is not looked at
    }
    let is_inside_a_request = refusal.is_none() && decoder.is_inside_a_request();
    Outcome {
        requests,
        refusal,
        left,
        is_inside_a_request,
    }
}

fn digest(request: &Request) -> u64 {
    let Request { head, body } = request;
    assert!(body.len() <= MAX_BODY, "a body of {} bytes", body.len());
    assert!(!head.path.is_empty() && !head.path.contains(['?', ' ', '\r', '\n']));
    let mut hasher = DefaultHasher::new();
    head.method.to_string().hash(&mut hasher);
    (head.version.0, head.version.1, head.wants_more()).hash(&mut hasher);
    (&head.path, body).hash(&mut hasher);
    for name in HEADERS {
        for value in head.values(name) {
            assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
            (name, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Splits where the bytes themselves say, so that every cut is tried by some input.
struct Odd<'a> {
    rest: &'a [u8],
    random: u64,
}

impl<'a> Odd<'a> {
    fn new(data: &'a [u8]) -> Odd<'a> {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let random = hasher.finish() | 1;
        Odd { rest: data, random }
    }
}

impl<'a> Iterator for Odd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // Marsaglia's xorshift: short pieces, and now and then a long one.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let most = if self.random.is_multiple_of(3) {
            3000
        } else {
            40
        };
        let size = 1 + (self.random >> 8) as usize % most;
        let (part, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        (!part.is_empty()).then_some(part)
    }
}
