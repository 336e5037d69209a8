//! What is broadcast: numbered messages, signed and wrapped into requests before the clock
//! starts.
//!
//! Messages belong to streams, one per pair of a channel and a publisher that uses it. Within
//! its stream a message has a sequence number, which begins again after [`Script::cycle`]
//! messages, so that a run of any length needs a bounded number of tokens.

use super::ledger;
use crate::server::target::{Signer, Target};

/// Requests for all streams, and how many of each have been sent.
pub struct Script {
    requests: Vec<u8>,
    ends: Vec<usize>,
    sent: Vec<u64>,
    cycle: usize,
}

/// What a script is made from.
pub struct Outline<'a> {
    /// Whom it is for.
    pub target: Target,
    /// Signs the tokens.
    pub signer: &'a Signer,
    /// How many streams there are.
    pub streams: usize,
    /// Messages of a stream before its numbers begin again.
    pub cycle: usize,
    /// Bytes of a message.
    pub size: usize,
}

impl Script {
    /// Writes and signs all messages; `channel` names the channel of a stream.
    pub fn write(outline: &Outline<'_>, channel: impl Fn(usize) -> String) -> Script {
        let mut script = Script {
            requests: Vec::new(),
            ends: vec![0],
            sent: vec![0; outline.streams],
            cycle: outline.cycle,
        };
        for stream in 0..outline.streams {
            let channel = channel(stream);
            for number in 0..outline.cycle {
                let message = ledger::message(stream, number, outline.size);
                let request = outline.target.broadcast(outline.signer, &channel, &message);
                script.requests.extend_from_slice(&request);
                script.ends.push(script.requests.len());
            }
        }
        script
    }

    /// The next request of a stream, with its sequence number.
    pub fn next(&mut self, stream: usize) -> (usize, &[u8]) {
        let number = (self.sent[stream] % self.cycle as u64) as usize;
        self.sent[stream] += 1;
        let place = stream * self.cycle + number;
        (
            number,
            &self.requests[self.ends[place]..self.ends[place + 1]],
        )
    }

    /// Begins again with the first message of every stream.
    pub fn rewind(&mut self) {
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
