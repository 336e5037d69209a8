//! Broadcasts as fast as they are answered (a closed loop), by one or more publishers.
//!
//! The streams are divided among the publishers: of four, the first uses streams 0, 4, 8, …

use std::time::{Duration, Instant};

use super::{micros, own_cpu};
use crate::Result;
use crate::client::delivery_log::{DeliveryLog, Routing};
use crate::client::histogram::Histogram;
use crate::client::requests::{RequestSpec, Requests};
use crate::client::testbed::{Testbed, Workload};
use crate::report::Metric;
use crate::server::target::Signer;

pub const BROADCASTS: Metric = Metric::new("broadcasts per second", "1/s");
pub const DELIVERIES: Metric = Metric::new("deliveries per second", "1/s");
pub const CPU_PER_BROADCAST: Metric = Metric::new("server CPU per broadcast", "µs");
pub const CPU_PER_DELIVERY: Metric = Metric::new("server CPU per delivery", "µs");
pub const CLIENT_CPU: Metric = Metric::new("client CPU per broadcast", "µs");
pub const HALF: Metric = Metric::new("latency p50", "µs");
pub const MOST: Metric = Metric::new("latency p99", "µs");

/// The requests for a testbed, and the deliveries of all measurements so far.
pub struct ClosedLoop {
    requests: Requests,
    delivery_log: DeliveryLog,
    /// Subscribers that each response must report.
    reach: u64,
}

/// The parameters of a load.
pub struct LoadSpec<'a> {
    /// Signs the tokens.
    pub signer: &'a Signer,
    /// Which streams each subscriber receives.
    pub routing: Routing,
    /// How many streams there are, each on one channel.
    pub streams: usize,
    /// Different messages of a stream: more than are ever in flight.
    pub cycle: usize,
    /// Size of a message, in bytes.
    pub size: usize,
    /// Subscribers in all.
    pub subscribers: usize,
    /// Subscribers of each stream.
    pub reach: usize,
}

/// The figures of one measurement.
pub struct Measurement {
    /// Broadcasts that were answered.
    pub broadcasts: f64,
    /// Messages that arrived.
    pub deliveries: f64,
    /// From the first request to the last delivery.
    pub wall: Duration,
    /// CPU time of the server.
    pub server: Duration,
    /// CPU time of the client.
    pub client: Duration,
    /// From a request to each of its deliveries.
    pub latencies: Histogram,
}

impl Measurement {
    /// All metrics of the measurement.
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

impl ClosedLoop {
    /// Builds and signs the messages; `channel` names the channel of a stream.
    pub fn new(
        testbed: &Testbed,
        load: &LoadSpec<'_>,
        channel: impl Fn(usize) -> String,
    ) -> ClosedLoop {
        let spec = RequestSpec {
            target: testbed.target(),
            signer: load.signer,
            streams: load.streams,
            cycle: load.cycle,
            size: load.size,
        };
        ClosedLoop {
            requests: Requests::prepare(&spec, channel),
            delivery_log: DeliveryLog::new(load.routing, load.subscribers, load.cycle, load.size),
            reach: load.reach as u64,
        }
    }

    /// Starts again for another number of subscribers, all of which receive everything.
    pub fn restart(&mut self, subscribers: usize) {
        self.requests.reset();
        self.delivery_log.reset(subscribers);
        self.reach = subscribers as u64;
    }

    /// Broadcasts for so long, and waits until everything has arrived.
    ///
    /// # Errors
    /// When a message is lost, doubled, damaged or out of order, or a count is wrong.
    pub fn measure(
        &mut self,
        testbed: &mut Testbed,
        publishers: usize,
        duration: Duration,
    ) -> Result<Measurement> {
        testbed.connect_publishers(publishers)?;
        testbed.server.start_cpu()?;
        let (client, before) = (own_cpu(), self.delivery_log.deliveries());
        let start = Instant::now();
        let mut run = Run::new(self, publishers, start + duration);
        for publisher in 0..publishers {
            testbed.post(publisher, run.next(publisher, Instant::now()))?;
        }
        testbed.run(&mut run)?;
        let (broadcasts, latencies) = (run.answered, run.latencies);
        let measurement = Measurement {
            broadcasts: broadcasts as f64,
            deliveries: (self.delivery_log.deliveries() - before) as f64,
            wall: start.elapsed(),
            server: testbed.server.cpu()?,
            client: own_cpu().saturating_sub(client),
            latencies,
        };
        testbed.expect_no_more()?;
        self.delivery_log
            .check_complete(self.requests.sent(), self.reach)?;
        Ok(measurement)
    }
}

/// A measurement in progress.
struct Run<'a> {
    closed_loop: &'a mut ClosedLoop,
    /// By publisher: its next stream.
    next_stream: Vec<usize>,
    /// By stream, then by sequence number: when the message was last sent.
    sent_at: Vec<Instant>,
    until: Instant,
    unanswered: usize,
    answered: u64,
    /// Deliveries that all requests so far must cause.
    expected: u64,
    latencies: Histogram,
}

impl<'a> Run<'a> {
    fn new(closed_loop: &'a mut ClosedLoop, publishers: usize, until: Instant) -> Run<'a> {
        let streams = closed_loop.requests.sent().len();
        Run {
            next_stream: (0..publishers).collect(),
            sent_at: vec![until; streams * closed_loop.requests.cycle()],
            until,
            unanswered: 0,
            answered: 0,
            expected: closed_loop.delivery_log.deliveries(),
            latencies: Histogram::new(),
            closed_loop,
        }
    }

    /// The request that a publisher posts now.
    fn next(&mut self, publisher: usize, now: Instant) -> &[u8] {
        let publishers = self.next_stream.len();
        let stream = self.next_stream[publisher];
        let streams = self.closed_loop.requests.sent().len();
        let next = stream + publishers;
        self.next_stream[publisher] = if next < streams { next } else { publisher };
        self.unanswered += 1;
        self.expected += self.closed_loop.reach;
        let cycle = self.closed_loop.requests.cycle();
        let (number, request) = self.closed_loop.requests.next(stream);
        self.sent_at[stream * cycle + number] = now;
        request
    }
}

impl Workload for Run<'_> {
    #[inline]
    fn received(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        let (stream, number) = self.closed_loop.delivery_log.record(subscriber, payload)?;
        let sent_at = self.sent_at[stream * self.closed_loop.requests.cycle() + number];
        self.latencies.record(sent_at.elapsed());
        Ok(())
    }

    fn answered(&mut self, publisher: usize, deliveries: u64) -> Result<Option<&[u8]>> {
        let reach = self.closed_loop.reach;
        if deliveries != reach {
            return Err(
                format!("a response reports {deliveries} deliveries instead of {reach}").into(),
            );
        }
        self.unanswered -= 1;
        self.answered += 1;
        let now = Instant::now();
        if now >= self.until {
            return Ok(None);
        }
        Ok(Some(self.next(publisher, now)))
    }

    fn is_done(&self) -> bool {
        self.unanswered == 0 && self.closed_loop.delivery_log.deliveries() >= self.expected
    }
}
