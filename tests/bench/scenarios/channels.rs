//! Many channels: a hundred on each connection, and a hundred thousand on the server.

use std::time::{Duration, Instant};

use super::closed_loop::{self, ClosedLoop, LoadSpec};
use super::{CONNECTING, micros, with_log};
use crate::Result;
use crate::client::delivery_log::Routing;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::{Case, Metric, Report};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "channels";

const SUBSCRIBERS: usize = 1_000;
const QUICK_SUBSCRIBERS: usize = 200;
/// Channels of each subscriber.
const EACH: usize = 100;
/// Channels of each subscriber that messages are broadcast to.
const ACTIVE: usize = 20;
/// Channels without subscribers that messages are broadcast to.
const EMPTY: usize = 20_000;
const SIZE: usize = 128;
const DURATION: Duration = Duration::from_secs(1);
const QUICK_DURATION: Duration = Duration::from_millis(300);

const MEMORY: Metric = Metric::new("resident memory per subscription", "B");
const SUBSCRIBING: Metric = Metric::new("server CPU per subscription", "µs");
/// From a total in steps of 10 ms, which includes the threads that end meanwhile.
const LEAVING: Metric = Metric::new("server CPU per subscription left", "µs");
const GONE: Metric = Metric::new("all gone after", "ms");
const TO_EMPTY: Metric = Metric::new("server CPU per broadcast to nobody", "µs");

/// How channels are distributed among the subscribers.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    /// All subscribers have the same channels.
    Shared,
    /// Each subscriber has channels of its own.
    Own,
}

impl Spread {
    fn channel(self, subscriber: usize, number: usize) -> String {
        match self {
            Spread::Shared => format!("shared:{number}"),
            Spread::Own => format!("own:{subscriber}:{number}"),
        }
    }

    fn label(self, subscribers: usize) -> String {
        let total = match self {
            Spread::Shared => EACH,
            Spread::Own => EACH * subscribers,
        };
        format!("{subscribers} × {EACH} subscriptions, {total} channels")
    }
}

/// Measures both distributions.
///
/// # Errors
/// When a message is lost, doubled, damaged, out of order or at a subscriber of another channel.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let subscribers = options.full_or_quick(SUBSCRIBERS, QUICK_SUBSCRIBERS);
    let subscribers = options.subscribers.unwrap_or(subscribers);
    let mut cases = Vec::new();
    for spread in [Spread::Shared, Spread::Own] {
        let label = spread.label(subscribers);
        eprintln!("{NAME}: {label}");
        let mut case = Case::new(NAME, label);
        for round in 0..options.rounds {
            let mut targets = [Target::Reference, Target::Bifrost];
            targets.rotate_left(round % 2);
            for target in targets {
                // A new server each time: reuse of released memory would hide what is allocated.
                let mut testbed = Testbed::start(target, &options.launch)?;
                measure(options, &mut testbed, subscribers, spread, &mut case)
                    .map_err(|error| with_log(&testbed, error))?;
            }
        }
        cases.push(case);
    }
    report.show(&cases)
}

/// Connects and subscribes all, broadcasts to them, and closes all.
fn measure(
    options: &Options,
    testbed: &mut Testbed,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let signer = Signer::new();
    let target = testbed.target();
    let first = |number| target.handshake(&signer, &[spread.channel(number, 0)]);
    testbed.connect_subscribers(subscribers, CONNECTING, first)?;
    subscribe(testbed, &signer, subscribers, spread, case)?;
    broadcast(options, testbed, &signer, subscribers, spread, case)?;
    if spread == Spread::Own {
        broadcast_to_empty(options, testbed, &signer, case)?;
    }
    close_all(testbed, subscribers, case)
}

/// Subscribes all to their channels but the first, which the handshake named.
fn subscribe(
    testbed: &mut Testbed,
    signer: &Signer,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let before = testbed.server.memory()?.resident;
    let others = |subscriber| {
        let channel = |number| spread.channel(subscriber, number);
        (1..EACH).map(channel).collect()
    };
    testbed.subscribe_to_more(signer, others)?;
    let cpu = testbed.server.cpu()?;
    let memory = testbed.server.memory()?.resident.saturating_sub(before);
    let subscriptions = (subscribers * (EACH - 1)) as f64;
    case.sample(testbed.target(), MEMORY, memory as f64 / subscriptions);
    case.sample(testbed.target(), SUBSCRIBING, micros(cpu) / subscriptions);
    Ok(())
}

fn broadcast(
    options: &Options,
    testbed: &mut Testbed,
    signer: &Signer,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let spec = LoadSpec {
        signer,
        routing: match spread {
            Spread::Shared => Routing::Shared(EACH),
            Spread::Own => Routing::Own(ACTIVE),
        },
        streams: match spread {
            Spread::Shared => EACH,
            Spread::Own => subscribers * ACTIVE,
        },
        cycle: match spread {
            Spread::Shared => 64,
            Spread::Own => 2,
        },
        size: options.size.unwrap_or(SIZE),
        subscribers,
        reach: match spread {
            Spread::Shared => subscribers,
            Spread::Own => 1,
        },
    };
    let channel = |stream| match spread {
        Spread::Shared => spread.channel(0, stream),
        Spread::Own => spread.channel(stream / ACTIVE, stream % ACTIVE),
    };
    let mut closed_loop = ClosedLoop::new(testbed, &spec, channel);
    let measurement =
        closed_loop.measure(testbed, 1, options.full_or_quick(DURATION, QUICK_DURATION))?;
    for (metric, value) in measurement.figures() {
        if [
            closed_loop::BROADCASTS,
            closed_loop::CPU_PER_BROADCAST,
            closed_loop::HALF,
        ]
        .contains(&metric)
        {
            case.sample(testbed.target(), metric, value);
        }
    }
    Ok(())
}

fn broadcast_to_empty(
    options: &Options,
    testbed: &mut Testbed,
    signer: &Signer,
    case: &mut Case,
) -> Result {
    let spec = LoadSpec {
        signer,
        routing: Routing::Shared(0),
        streams: EMPTY,
        cycle: 1,
        size: options.size.unwrap_or(SIZE),
        subscribers: 0,
        reach: 0,
    };
    let mut closed_loop = ClosedLoop::new(testbed, &spec, |stream| format!("nobody:{stream}"));
    let measurement =
        closed_loop.measure(testbed, 1, options.full_or_quick(DURATION, QUICK_DURATION))?;
    let each = micros(measurement.server) / measurement.broadcasts;
    case.sample(testbed.target(), TO_EMPTY, each);
    Ok(())
}

fn close_all(testbed: &mut Testbed, subscribers: usize, case: &mut Case) -> Result {
    let (cpu, start) = (testbed.server.total_cpu()?, Instant::now());
    testbed.close_from(0)?;
    let wall = start.elapsed();
    let cpu = testbed.server.total_cpu()?.saturating_sub(cpu);
    let each = micros(cpu) / (subscribers * EACH) as f64;
    case.sample(testbed.target(), LEAVING, each);
    case.sample(testbed.target(), GONE, micros(wall) / 1e3);
    Ok(())
}
