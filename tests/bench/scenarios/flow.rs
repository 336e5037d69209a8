//! Broadcasts as fast as they are answered, by one or more publishers.
//!
//! Publishers share out the streams: of four, the first takes streams 0, 4, 8, …, in turn.

use std::time::{Duration, Instant};

use super::{micros, own_time};
use crate::Result;
use crate::client::histogram::Histogram;
use crate::client::ledger::{Audience, Ledger};
use crate::client::script::{Outline, Script};
use crate::client::stage::{Play, Stage};
use crate::report::Metric;
use crate::server::target::Signer;

pub const BROADCASTS: Metric = Metric::new("broadcasts per second", "1/s");
pub const DELIVERIES: Metric = Metric::new("deliveries per second", "1/s");
pub const CPU_PER_BROADCAST: Metric = Metric::new("server CPU per broadcast", "µs");
pub const CPU_PER_DELIVERY: Metric = Metric::new("server CPU per delivery", "µs");
pub const CLIENT_CPU: Metric = Metric::new("client CPU per broadcast", "µs");
pub const HALF: Metric = Metric::new("latency p50", "µs");
pub const MOST: Metric = Metric::new("latency p99", "µs");

/// What is broadcast on a stage, and what was heard of it in all turns so far.
pub struct Flow {
    script: Script,
    ledger: Ledger,
    /// Subscribers that each broadcast must be told to have reached.
    reach: u64,
}

/// What a flow is made from.
pub struct Source<'a> {
    /// Signs the tokens.
    pub signer: &'a Signer,
    /// Who hears what.
    pub audience: Audience,
    /// How many streams there are, each on one channel.
    pub streams: usize,
    /// Different messages of a stream; more are never under way.
    pub cycle: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Subscribers in all.
    pub subscribers: usize,
    /// Subscribers of each stream.
    pub reach: usize,
}

/// What was measured in one turn.
pub struct Turn {
    /// Broadcasts that were answered.
    pub broadcasts: f64,
    /// Messages that arrived.
    pub deliveries: f64,
    /// From the first request to the last arrival.
    pub wall: Duration,
    /// CPU time of the server.
    pub server: Duration,
    /// CPU time of the client.
    pub client: Duration,
    /// From a request to each arrival.
    pub latencies: Histogram,
}

impl Turn {
    /// Everything that can be said about a turn.
    pub fn figures(&self) -> [(Metric, f64); 7] {
        let seconds = self.wall.as_secs_f64();
        [
            (BROADCASTS, self.broadcasts / seconds),
            (DELIVERIES, self.deliveries / seconds),
            (CPU_PER_BROADCAST, micros(self.server) / self.broadcasts),
            (CPU_PER_DELIVERY, micros(self.server) / self.deliveries),
            (CLIENT_CPU, micros(self.client) / self.broadcasts),
            (HALF, micros(self.latencies.quantile(0.5))),
            (MOST, micros(self.latencies.quantile(0.99))),
        ]
    }
}

impl Flow {
    /// Writes and signs the messages; `channel` names the channel of a stream.
    pub fn new(stage: &Stage, source: &Source<'_>, channel: impl Fn(usize) -> String) -> Flow {
        let outline = Outline {
            target: stage.target(),
            signer: source.signer,
            streams: source.streams,
            cycle: source.cycle,
            size: source.size,
        };
        Flow {
            script: Script::write(&outline, channel),
            ledger: Ledger::new(
                source.audience,
                source.subscribers,
                source.cycle,
                source.size,
            ),
            reach: source.reach as u64,
        }
    }

    /// Begins again for a crowd of another size, all of whom hear everything.
    pub fn restart(&mut self, subscribers: usize) {
        self.script.rewind();
        self.ledger.reopen(subscribers);
        self.reach = subscribers as u64;
    }

    /// Broadcasts for a while, and waits until everything has arrived.
    ///
    /// # Errors
    /// When a message is lost, doubled, damaged or out of order, or a count is wrong.
    pub fn turn(
        &mut self,
        stage: &mut Stage,
        publishers: usize,
        duration: Duration,
    ) -> Result<Turn> {
        stage.hire(publishers)?;
        stage.server.begin()?;
        let (client, heard) = (own_time(), self.ledger.heard());
        let start = Instant::now();
        let mut rush = Rush::new(self, publishers, start + duration);
        for publisher in 0..publishers {
            stage.post(publisher, rush.next(publisher, Instant::now()))?;
        }
        stage.perform(&mut rush)?;
        let (broadcasts, latencies) = (rush.answered, rush.latencies);
        let turn = Turn {
            broadcasts: broadcasts as f64,
            deliveries: (self.ledger.heard() - heard) as f64,
            wall: start.elapsed(),
            server: stage.server.used()?,
            client: own_time().saturating_sub(client),
            latencies,
        };
        stage.await_stragglers()?;
        self.ledger.settle(self.script.sent(), self.reach)?;
        Ok(turn)
    }
}

/// A turn under way.
struct Rush<'a> {
    flow: &'a mut Flow,
    /// By publisher: its next stream.
    next_stream: Vec<usize>,
    /// By stream, then by sequence number: when the message was last sent.
    sent_at: Vec<Instant>,
    until: Instant,
    unanswered: usize,
    answered: u64,
    /// Deliveries that are owed for all that was ever sent.
    due: u64,
    latencies: Histogram,
}

impl<'a> Rush<'a> {
    fn new(flow: &'a mut Flow, publishers: usize, until: Instant) -> Rush<'a> {
        let streams = flow.script.sent().len();
        Rush {
            next_stream: (0..publishers).collect(),
            sent_at: vec![until; streams * flow.script.cycle()],
            until,
            unanswered: 0,
            answered: 0,
            due: flow.ledger.heard(),
            latencies: Histogram::new(),
            flow,
        }
    }

    /// The request that a publisher posts now.
    fn next(&mut self, publisher: usize, now: Instant) -> &[u8] {
        let publishers = self.next_stream.len();
        let stream = self.next_stream[publisher];
        let streams = self.flow.script.sent().len();
        self.next_stream[publisher] = match stream + publishers {
            next if next < streams => next,
            _ => publisher,
        };
        self.unanswered += 1;
        self.due += self.flow.reach;
        let cycle = self.flow.script.cycle();
        let (number, request) = self.flow.script.next(stream);
        self.sent_at[stream * cycle + number] = now;
        request
    }
}

impl Play for Rush<'_> {
    #[inline]
    fn heard(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        let (stream, number) = self.flow.ledger.note(subscriber, payload)?;
        let sent_at = self.sent_at[stream * self.flow.script.cycle() + number];
        self.latencies.record(sent_at.elapsed());
        Ok(())
    }

    fn answered(&mut self, publisher: usize, deliveries: u64) -> Result<Option<&[u8]>> {
        let reach = self.flow.reach;
        if deliveries != reach {
            return Err(format!("{deliveries} deliveries were told of {reach}").into());
        }
        self.unanswered -= 1;
        self.answered += 1;
        let now = Instant::now();
        match now < self.until {
            true => Ok(Some(self.next(publisher, now))),
            false => Ok(None),
        }
    }

    fn is_over(&self) -> bool {
        self.unanswered == 0 && self.flow.ledger.heard() >= self.due
    }
}
