//! Firehose: broadcasts to one large channel as fast as they are answered.

use std::time::Duration;

use super::closed_loop::{self, ClosedLoop, LoadSpec};
use super::{CONNECTING, both, run_rounds, with_log};
use crate::Result;
use crate::client::delivery_log::Routing;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::{Case, Goal, Report};
use crate::server::target::Signer;

/// Its name on the command line.
pub const NAME: &str = "firehose";

const SUBSCRIBERS: usize = 1_000;
const PUBLISHERS: [usize; 2] = [1, 4];
const SIZE: usize = 128;
/// Different messages of a publisher: more than are ever queued for a subscriber.
const CYCLE: usize = 1_024;
const CHANNEL: &str = "firehose";
const DURATION: Duration = Duration::from_secs(2);
const QUICK_DURATION: Duration = Duration::from_millis(500);

/// Measures every number of publishers.
///
/// # Errors
/// When a message is lost, doubled, damaged or out of order.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let signer = Signer::new();
    let subscribers = options.subscribers.unwrap_or(SUBSCRIBERS);
    let mut testbeds = both(options)?;
    for testbed in &mut testbeds {
        let handshake = testbed.target().handshake(&signer, &[CHANNEL.to_owned()]);
        testbed
            .connect_subscribers(subscribers, CONNECTING, |_| handshake.clone())
            .map_err(|error| with_log(testbed, error))?;
    }
    let mut cases = Vec::new();
    for publishers in PUBLISHERS {
        cases.push(measure(
            options,
            &signer,
            &mut testbeds,
            publishers,
            CHANNEL,
        )?);
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
    publishers: usize,
    channel: &str,
) -> Result<Case> {
    let subscribers = testbeds[0].subscribers();
    let size = options.size.unwrap_or(SIZE);
    let label = format!("{subscribers} × {size} B, publishers: {publishers}");
    eprintln!("{NAME}: {label}");
    let mut case = Case::new(NAME, label);
    let spec = LoadSpec {
        signer,
        routing: Routing::Shared(publishers),
        streams: publishers,
        cycle: CYCLE,
        size,
        subscribers,
        reach: subscribers,
    };
    let duration = options.full_or_quick(DURATION, QUICK_DURATION);
    let mut entries = Vec::new();
    for testbed in testbeds {
        let mut closed_loop = ClosedLoop::new(testbed, &spec, |_| channel.to_owned());
        closed_loop
            .measure(testbed, publishers, duration / 4) // warm-up
            .map_err(|error| with_log(testbed, error))?;
        entries.push((closed_loop, testbed));
    }
    run_rounds(
        options.rounds,
        &mut entries,
        |(_, testbed)| testbed,
        |(closed_loop, testbed)| {
            let measurement = closed_loop.measure(testbed, publishers, duration)?;
            for (metric, value) in measurement.figures() {
                if metric != closed_loop::CPU_PER_BROADCAST {
                    case.sample(testbed.target(), metric, value);
                }
            }
            Ok(())
        },
    )?;
    if publishers == 4 {
        case.expect(closed_loop::DELIVERIES, Goal::RatioAtLeast(1.7));
    }
    Ok(case)
}
