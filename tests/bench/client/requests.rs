//! The requests of the publishers: numbered messages, signed before the measurement starts.
//!
//! Messages belong to streams, one per pair of a channel and a publisher that uses it. Within
//! its stream a message has a sequence number, which begins again after [`Requests::cycle`]
//! messages, so that a run of any length needs a bounded number of tokens.

use super::delivery_log;
use crate::server::target::{Signer, Target};

/// Requests of all streams, and how many of each have been sent.
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sent: Vec<u64>,
    cycle: usize,
}

/// What the requests are built from.
pub struct RequestSpec<'a> {
    /// The server they are for.
    pub target: Target,
    /// Signs the tokens.
    pub signer: &'a Signer,
    /// How many streams there are.
    pub streams: usize,
    /// Messages of a stream before its numbers begin again.
    pub cycle: usize,
    /// Size of a message, in bytes.
    pub size: usize,
}

impl Requests {
    /// Builds and signs all messages; `channel` names the channel of a stream.
    pub fn prepare(spec: &RequestSpec<'_>, channel: impl Fn(usize) -> String) -> Requests {
        let mut requests = Requests {
            bytes: Vec::new(),
            ends: vec![0],
            sent: vec![0; spec.streams],
            cycle: spec.cycle,
        };
        for stream in 0..spec.streams {
            let channel = channel(stream);
            for number in 0..spec.cycle {
                let message = delivery_log::message(stream, number, spec.size);
                let request = spec.target.broadcast(spec.signer, &channel, &message);
                requests.bytes.extend_from_slice(&request);
                requests.ends.push(requests.bytes.len());
            }
        }
        requests
    }

    /// The next request of a stream, with its sequence number.
    pub fn next(&mut self, stream: usize) -> (usize, &[u8]) {
        let number = (self.sent[stream] % self.cycle as u64) as usize;
        self.sent[stream] += 1;
        let index = stream * self.cycle + number;
        (number, &self.bytes[self.ends[index]..self.ends[index + 1]])
    }

    /// Starts again with the first message of every stream.
    pub fn reset(&mut self) {
        self.sent.fill(0);
    }

    /// Messages sent so far, per stream.
    pub fn sent(&self) -> &[u64] {
        &self.sent
    }

    /// Messages of a stream before its numbers begin again.
    pub fn cycle(&self) -> usize {
        self.cycle
    }
}
