//! Soak: ten minutes of connects, disconnects and broadcasts; memory, threads and descriptors must
//! not grow.

use std::time::{Duration, Instant};

use super::closed_loop::{ClosedLoop, LoadSpec};
use super::{CONNECTING, with_log};
use crate::Result;
use crate::client::delivery_log::Routing;
use crate::client::swarm::Handshake;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::{Case, Goal, Metric, Report};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "soak";

const MINUTES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const QUICK_MINUTE: Duration = Duration::from_secs(3);
/// Subscribers that stay throughout; the figures are read when only they are connected.
const PERMANENT: usize = 500;
/// The most further subscribers, which connect and disconnect.
const TEMPORARY: usize = 1_500;
/// The number of further subscribers changes by this, modulo the most, so that it seldom repeats.
const STRIDE: usize = 617;
const PUBLISHERS: usize = 4;
const SIZE: usize = 256;
const CYCLE: usize = 1_024;
const CHANNEL: &str = "soak";
/// How long messages are broadcast before the number changes again.
const BURST: Duration = Duration::from_millis(500);
/// Time for a server to release what closed connections took.
const SETTLING: Duration = Duration::from_secs(1);
/// What is not released after this counts as a leak.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);

const RESIDENT: Metric = Metric::new("resident memory", "MiB");
const THREADS: Metric = Metric::new("threads", "");
const DESCRIPTORS: Metric = Metric::new("descriptors", "");
const DELIVERIES: Metric = Metric::new("deliveries since the minute before", "");
const CONNECTIONS: Metric = Metric::new("connections since the minute before", "");
const GROWTH: Metric = Metric::new("resident memory ÷ that after the second minute", "");
/// The minute that memory is compared with: by then every allocator arena is in use.
const WARM: u32 = 2;

/// Measures Bifrost alone: minutes are compared with each other, not with the reference.
///
/// # Errors
/// When a message is lost, or threads or descriptors are not released.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let mut testbed = Testbed::start(Target::Bifrost, &options.launch)?;
    let cases = soak(options, &mut testbed).map_err(|error| with_log(&testbed, error))?;
    report.show(&cases)
}

fn soak(options: &Options, testbed: &mut Testbed) -> Result<Vec<Case>> {
    let signer = Signer::new();
    let handshake = testbed.target().handshake(&signer, &[CHANNEL.to_owned()]);
    let spec = LoadSpec {
        signer: &signer,
        routing: Routing::Shared(PUBLISHERS),
        streams: PUBLISHERS,
        cycle: CYCLE,
        size: options.size.unwrap_or(SIZE),
        subscribers: 0,
        reach: 0,
    };
    let mut closed_loop = ClosedLoop::new(testbed, &spec, |_| CHANNEL.to_owned());
    testbed.connect_subscribers(PERMANENT, CONNECTING, |_| handshake.clone())?;
    testbed.connect_publishers(PUBLISHERS)?;
    testbed.poll_until(Instant::now() + SETTLING)?;
    let (mut cases, mut size, mut warm) = (Vec::new(), 0, 0.0);
    let counts = (testbed.server.threads()?, testbed.server.descriptors()?);
    for minute in 1..=MINUTES {
        eprintln!("{NAME}: minute {minute} of {MINUTES}");
        let mut case = Case::new(NAME, format!("minute {minute}"));
        let until = Instant::now() + options.full_or_quick(MINUTE, QUICK_MINUTE);
        churn(
            testbed,
            &mut closed_loop,
            &handshake,
            &mut size,
            until,
            &mut case,
        )?;
        testbed.close_from(PERMANENT)?;
        check_counts(testbed, counts)?;
        let resident = sample_figures(testbed, &mut case)?;
        if minute == WARM {
            warm = resident;
        }
        if minute == MINUTES {
            case.sample(testbed.target(), GROWTH, resident / warm);
            case.expect(GROWTH, Goal::AtMost(1.1));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// Connects and disconnects subscribers, and broadcasts to all that are connected.
fn churn(
    testbed: &mut Testbed,
    closed_loop: &mut ClosedLoop,
    handshake: &Handshake,
    size: &mut usize,
    until: Instant,
    case: &mut Case,
) -> Result {
    let (mut deliveries, mut connections) = (0.0, 0);
    while Instant::now() < until {
        *size = (*size + STRIDE) % TEMPORARY;
        let wanted = PERMANENT + *size;
        if wanted < testbed.subscribers() {
            testbed.close_from(wanted)?;
        } else {
            let more = wanted - testbed.subscribers();
            testbed.connect_subscribers(more, CONNECTING, |_| handshake.clone())?;
            connections += more;
        }
        closed_loop.restart(wanted);
        deliveries += closed_loop.measure(testbed, PUBLISHERS, BURST)?.deliveries;
    }
    case.sample(testbed.target(), DELIVERIES, deliveries);
    case.sample(testbed.target(), CONNECTIONS, connections as f64);
    Ok(())
}

/// Samples the figures when only the permanent subscribers are left; gives the resident memory, in
/// MiB.
fn sample_figures(testbed: &mut Testbed, case: &mut Case) -> Result<f64> {
    testbed.poll_until(Instant::now() + SETTLING)?;
    let resident = testbed.server.memory()?.resident as f64 / f64::from(1 << 20);
    let target = testbed.target();
    case.sample(target, RESIDENT, resident);
    case.sample(target, THREADS, testbed.server.threads()? as f64);
    case.sample(target, DESCRIPTORS, testbed.server.descriptors()? as f64);
    Ok(resident)
}

/// Waits until threads and descriptors are as many as in the beginning: on a busy machine the
/// server needs a while to release those of closed connections.
fn check_counts(testbed: &mut Testbed, (threads, descriptors): (usize, usize)) -> Result {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        let now = (testbed.server.threads()?, testbed.server.descriptors()?);
        if now == (threads, descriptors) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "the same subscribers had {threads} threads and {descriptors} descriptors, and \
                 now {} and {}",
                now.0, now.1
            )
            .into());
        }
        testbed.poll_until(Instant::now() + SETTLING)?;
    }
}
