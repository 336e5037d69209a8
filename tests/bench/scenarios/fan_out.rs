//! Fan-out: one message at a time to all subscribers of one channel.

use std::time::{Duration, Instant};

use super::{CONNECTING, both, micros, own_cpu, run_rounds, with_log};
use crate::Result;
use crate::client::delivery_log::{DeliveryLog, Routing};
use crate::client::requests::{RequestSpec, Requests};
use crate::client::testbed::{Testbed, Workload};
use crate::options::Options;
use crate::report::{Case, Goal, Metric, Report, median};
use crate::server::target::Signer;

/// Its name on the command line.
pub const NAME: &str = "fan-out";

const SUBSCRIBERS: [usize; 4] = [100, 1_000, 5_000, 9_000];
const QUICK_SUBSCRIBERS: [usize; 2] = [100, 1_000];
const SIZES: [usize; 2] = [128, 4096];
/// Deliveries of a measurement, which takes about a second.
const DELIVERIES: usize = 300_000;
/// The fewest broadcasts of a measurement for a meaningful median.
const FEWEST: usize = 30;
/// Different messages: more than are ever in flight.
const CYCLE: usize = 256;
const CHANNEL: &str = "fan-out";

const CPU: Metric = Metric::new("server CPU per delivery", "µs");
const CLIENT_CPU: Metric = Metric::new("client CPU per delivery", "µs");
const FIRST: Metric = Metric::new("first subscriber after", "µs");
const MIDDLE: Metric = Metric::new("median subscriber after", "µs");
const LAST: Metric = Metric::new("last subscriber after", "µs");
const RATE: Metric = Metric::new("deliveries per second", "1/s");

/// Measures every number of subscribers with every size.
///
/// # Errors
/// When a message is lost, doubled, damaged or out of order.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let counts = options.full_or_quick(&SUBSCRIBERS[..], &QUICK_SUBSCRIBERS[..]);
    let counts = options
        .subscribers
        .map_or(counts.to_vec(), |count| vec![count]);
    let sizes = options.size.map_or(SIZES.to_vec(), |size| vec![size]);
    let mut cases = Vec::new();
    for subscribers in counts {
        let signer = Signer::new();
        let mut testbeds = both(options)?;
        for testbed in &mut testbeds {
            let handshake = testbed.target().handshake(&signer, &[CHANNEL.to_owned()]);
            testbed
                .connect_subscribers(subscribers, CONNECTING, |_| handshake.clone())
                .map_err(|error| with_log(testbed, error))?;
            testbed.connect_publishers(1)?;
        }
        for size in &sizes {
            cases.push(measure(options, &signer, &mut testbeds, *size, CHANNEL)?);
        }
    }
    report.show(&cases)
}

/// Measures testbeds whose subscribers are connected, round by round.
///
/// # Errors
/// When a message is lost, doubled, damaged or out of order.
pub fn measure(
    options: &Options,
    signer: &Signer,
    testbeds: &mut [Testbed],
    size: usize,
    channel: &str,
) -> Result<Case> {
    let subscribers = testbeds[0].subscribers();
    let mut case = Case::new(NAME, format!("{subscribers} × {size} B"));
    eprintln!("{NAME}: {subscribers} × {size} B");
    let broadcasts = options.full_or_quick((DELIVERIES / subscribers).max(FEWEST), FEWEST);
    let mut entries: Vec<_> = testbeds
        .iter_mut()
        .map(|testbed| (FanOut::new(testbed, signer, size, channel), testbed))
        .collect();
    for (fan_out, testbed) in &mut entries {
        fan_out
            .measure(testbed, FEWEST) // warm-up
            .map_err(|error| with_log(testbed, error))?;
    }
    run_rounds(
        options.rounds,
        &mut entries,
        |(_, testbed)| testbed,
        |(fan_out, testbed)| {
            let measurement = fan_out.measure(testbed, broadcasts)?;
            let deliveries = (broadcasts * subscribers) as f64;
            let target = testbed.target();
            case.sample(target, CPU, micros(measurement.server) / deliveries);
            case.sample(target, CLIENT_CPU, micros(measurement.client) / deliveries);
            case.sample(target, FIRST, median(&measurement.first));
            case.sample(target, MIDDLE, median(&measurement.middle));
            case.sample(target, LAST, median(&measurement.last));
            case.sample(target, RATE, deliveries / measurement.wall.as_secs_f64());
            Ok(())
        },
    )?;
    set_goals(&mut case, subscribers, size);
    Ok(case)
}

fn set_goals(case: &mut Case, subscribers: usize, size: usize) {
    if size != 128 {
        return;
    }
    match subscribers {
        1_000 => case.expect(CPU, Goal::RatioAtMost(1.15)),
        5_000 | 9_000 => case.expect(CPU, Goal::RatioAtMost(1.2)),
        _ => {}
    }
    if matches!(subscribers, 1_000 | 5_000) {
        case.expect(LAST, Goal::RatioAtMost(1.2));
    }
}

/// The requests for a testbed, and the deliveries of all measurements so far.
struct FanOut {
    requests: Requests,
    delivery_log: DeliveryLog,
    subscribers: usize,
}

/// The figures of one measurement; the times are of each broadcast, in microseconds.
#[derive(Default)]
struct Measurement {
    server: Duration,
    client: Duration,
    wall: Duration,
    first: Vec<f64>,
    middle: Vec<f64>,
    last: Vec<f64>,
}

impl FanOut {
    fn new(testbed: &Testbed, signer: &Signer, size: usize, channel: &str) -> FanOut {
        let spec = RequestSpec {
            target: testbed.target(),
            signer,
            streams: 1,
            cycle: CYCLE,
            size,
        };
        let subscribers = testbed.subscribers();
        FanOut {
            requests: Requests::prepare(&spec, |_| channel.to_owned()),
            delivery_log: DeliveryLog::new(Routing::Shared(1), subscribers, CYCLE, size),
            subscribers,
        }
    }

    fn measure(&mut self, testbed: &mut Testbed, broadcasts: usize) -> Result<Measurement> {
        let mut measurement = Measurement::default();
        testbed.server.start_cpu()?;
        let client = own_cpu();
        let start = Instant::now();
        for _ in 0..broadcasts {
            self.broadcast(testbed, &mut measurement)?;
        }
        measurement.wall = start.elapsed();
        measurement.client = own_cpu().saturating_sub(client);
        measurement.server = testbed.server.cpu()?;
        testbed.expect_no_more()?;
        self.delivery_log
            .check_complete(self.requests.sent(), self.subscribers as u64)?;
        Ok(measurement)
    }

    fn broadcast(&mut self, testbed: &mut Testbed, measurement: &mut Measurement) -> Result {
        let (_, request) = self.requests.next(0);
        let mut broadcast = Broadcast {
            delivery_log: &mut self.delivery_log,
            subscribers: self.subscribers,
            received: 0,
            is_answered: false,
            started: Instant::now(),
            measurement,
        };
        testbed.post(0, request)?;
        testbed.run(&mut broadcast)
    }
}

/// A broadcast in progress.
struct Broadcast<'a> {
    delivery_log: &'a mut DeliveryLog,
    subscribers: usize,
    received: usize,
    is_answered: bool,
    started: Instant,
    measurement: &'a mut Measurement,
}

impl Workload for Broadcast<'_> {
    #[inline]
    fn received(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        self.delivery_log.record(subscriber, payload)?;
        self.received += 1;
        // The clock is read for three deliveries only.
        if self.received == 1 {
            self.measurement.first.push(micros(self.started.elapsed()));
        }
        if self.received == self.subscribers.div_ceil(2) {
            self.measurement.middle.push(micros(self.started.elapsed()));
        }
        if self.received == self.subscribers {
            self.measurement.last.push(micros(self.started.elapsed()));
        }
        Ok(())
    }

    fn answered(&mut self, _publisher: usize, deliveries: u64) -> Result<Option<&[u8]>> {
        self.is_answered = true;
        let reach = self.subscribers as u64;
        if deliveries != reach {
            return Err(
                format!("a response reports {deliveries} deliveries instead of {reach}").into(),
            );
        }
        Ok(None)
    }

    fn is_done(&self) -> bool {
        self.is_answered && self.received >= self.subscribers
    }
}
