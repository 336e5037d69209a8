//! Request decoding: the requests, or the error, are the same however the bytes are split into
//! reads, and memory stays within the limits.
//!
//! An input is the bytes that a client sends.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use bifrost::http::{Decoder, HttpError, Progress, Request};
use bifrost::protocol::limits::MAX_HEAD;

use super::memory;

/// Largest body, in bytes.
const MAX_BODY: usize = 2 * 1024;
/// What the server reads at once, in bytes (`src/net/socket.rs`).
const READ_SIZE: usize = 4 * 1024;
/// What a decoder may allocate, in bytes: the head as received and as parsed, the body, and each
/// buffer twice, because buffers grow by doubling. A hundred headers take less than 8 KiB.
const MAX_MEMORY: usize = 2 * (MAX_HEAD + READ_SIZE) + MAX_HEAD + 2 * MAX_BODY + 8 * 1024;
/// The longest input that is also split into single bytes, in bytes: every read scans the head from
/// its start, so longer ones would take too long.
const MAX_BYTEWISE: usize = 512;

/// The headers that the server reads.
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

/// The result of decoding an input.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// A hash of each request.
    requests: Vec<u64>,
    error: Option<HttpError>,
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
        // The memory of the outcome itself does not count.
        let (again, memory) = memory::peak(|| decode(data.chunks(size)));
        let ours = again.requests.capacity() * size_of::<u64>() + data.len();
        assert!(
            memory <= MAX_MEMORY + ours,
            "{memory} bytes allocated, split by {size}"
        );
        assert_eq!(again, outcome, "split by {size}");
    }
    assert_eq!(decode(Pieces::new(data)), outcome, "split at random");
}

fn decode<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(MAX_BODY);
    let (mut requests, mut left) = (Vec::new(), Vec::new());
    let mut is_continued = false;
    let error = 'reading: {
        for part in parts {
            left.extend_from_slice(part);
            loop {
                match decoder.advance(&mut left) {
                    Ok(Progress::Whole(request)) => {
                        requests.push(hash(&request));
                        is_continued = false;
                    }
                    Ok(Progress::AwaitsContinue) => {
                        assert!(
                            !is_continued && left.is_empty(),
                            "an unexpected 100 Continue"
                        );
                        is_continued = true;
                    }
                    Ok(Progress::Partial) => break,
                    Err(error) => break 'reading Some(error),
                }
            }
        }
        None
    };
    if let Some(error) = &error {
        assert!(error.status.code() >= 400, "{error:?}");
        left.clear(); // bytes after an error are ignored
    }
    let is_inside_a_request = error.is_none() && decoder.is_inside_a_request();
    Outcome {
        requests,
        error,
        left,
        is_inside_a_request,
    }
}

fn hash(request: &Request) -> u64 {
    let Request { head, body } = request;
    assert!(body.len() <= MAX_BODY, "a body of {} bytes", body.len());
    assert!(!head.path.is_empty() && !head.path.contains(['?', ' ', '\r', '\n']));
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?}", head.method, head.version).hash(&mut hasher);
    (head.wants_more(), &head.path, &head.query, body).hash(&mut hasher);
    for name in HEADERS {
        for value in head.values(name) {
            assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
            (name, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Splits at places that depend on the bytes, so that inputs try all kinds of splits.
struct Pieces<'a> {
    rest: &'a [u8],
    random: u64,
}

impl<'a> Pieces<'a> {
    fn new(data: &'a [u8]) -> Pieces<'a> {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let random = hasher.finish() | 1;
        Pieces { rest: data, random }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // Marsaglia's xorshift; a third of the pieces may be long.
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
