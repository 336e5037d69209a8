//! Direct: many channels with one subscriber each, as for messages to single users.

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
pub const NAME: &str = "direct";

const CHANNELS: usize = 1_000;
const PUBLISHERS: [usize; 3] = [1, 4, 16];
const SIZE: usize = 128;
/// Different messages of a channel.
const CYCLE: usize = 16;
const DURATION: Duration = Duration::from_secs(2);
const QUICK_DURATION: Duration = Duration::from_millis(500);

/// Measures every number of publishers.
///
/// # Errors
/// When a message is lost, doubled, damaged, out of order or at a subscriber of another channel.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let signer = Signer::new();
    let channels = options.subscribers.unwrap_or(CHANNELS);
    let mut testbeds = both(options)?;
    for testbed in &mut testbeds {
        let target = testbed.target();
        let handshake = |number| target.handshake(&signer, &[channel(number)]);
        testbed
            .connect_subscribers(channels, CONNECTING, handshake)
            .map_err(|error| with_log(testbed, error))?;
    }
    let spec = LoadSpec {
        signer: &signer,
        routing: Routing::Own(1),
        streams: channels,
        cycle: CYCLE,
        size: options.size.unwrap_or(SIZE),
        subscribers: channels,
        reach: 1,
    };
    let mut entries: Vec<_> = testbeds
        .iter_mut()
        .map(|testbed| (ClosedLoop::new(testbed, &spec, channel), testbed))
        .collect();
    let mut cases = Vec::new();
    for publishers in PUBLISHERS {
        cases.push(measure(options, &mut entries, publishers)?);
    }
    report.show(&cases)
}

fn channel(number: usize) -> String {
    format!("user:{number}")
}

fn measure(
    options: &Options,
    entries: &mut [(ClosedLoop, &mut Testbed)],
    publishers: usize,
) -> Result<Case> {
    let label = format!("publishers: {publishers}");
    eprintln!("{NAME}: {label}");
    let mut case = Case::new(NAME, label);
    let duration = options.full_or_quick(DURATION, QUICK_DURATION);
    for (closed_loop, testbed) in entries.iter_mut() {
        closed_loop
            .measure(testbed, publishers, duration / 4) // warm-up
            .map_err(|error| with_log(testbed, error))?;
    }
    run_rounds(
        options.rounds,
        entries,
        |(_, testbed)| testbed,
        |(closed_loop, testbed)| {
            let measurement = closed_loop.measure(testbed, publishers, duration)?;
            for (metric, value) in measurement.figures() {
                if metric != closed_loop::DELIVERIES && metric != closed_loop::CPU_PER_DELIVERY {
                    case.sample(testbed.target(), metric, value);
                }
            }
            Ok(())
        },
    )?;
    match publishers {
        1 => case.expect(closed_loop::BROADCASTS, Goal::RatioAtLeast(0.8)),
        4 => case.expect(closed_loop::CPU_PER_BROADCAST, Goal::RatioAtMost(2.0)),
        _ => {}
    }
    Ok(case)
}
