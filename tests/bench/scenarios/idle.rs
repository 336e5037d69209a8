//! Idle: what idle subscribers take, and what the server keeps after they have left.

use std::time::{Duration, Instant};

use super::{CONNECTING, with_log};
use crate::Result;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::{Case, Goal, Metric, Report};
use crate::server::proc_stats::{self, Memory};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "idle";

const SUBSCRIBERS: [usize; 2] = [1_000, 9_000];
const QUICK_SUBSCRIBERS: [usize; 1] = [1_000];
/// Four ping intervals.
const IDLE: Duration = Duration::from_secs(60);
/// A little more than one ping interval, so that pings are answered at all.
const QUICK_IDLE: Duration = Duration::from_secs(17);
/// How long each server is polled before the next; far less than its timeouts.
const SLICE: Duration = Duration::from_millis(100);
/// Time for a server to release what the handshakes needed.
const SETTLING: Duration = Duration::from_secs(1);

const RESIDENT: Metric = Metric::new("resident memory per subscriber", "KiB");
const STACKS: Metric = Metric::new("kernel stacks and page tables per subscriber", "KiB");
/// Includes the client's sockets, which are the same for all servers.
const SLAB: Metric = Metric::new("kernel objects per subscriber, both ends", "KiB");
const THREADS: Metric = Metric::new("threads per subscriber", "");
const DESCRIPTORS: Metric = Metric::new("descriptors per subscriber", "");
const CPU: Metric = Metric::new("CPU with heartbeats", "% of a core");
const EMPTY: Metric = Metric::new("resident memory before anybody came", "MiB");
const AFTER_ONCE: Metric = Metric::new("resident memory when all have left", "MiB");
const AFTER_TWICE: Metric = Metric::new("the same after they came and left again", "MiB");
const GROWTH: Metric = Metric::new("second time ÷ first time", "");

/// Measures every number of subscribers.
///
/// # Errors
/// When a subscriber can't connect, or is disconnected.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let counts = options.full_or_quick(&SUBSCRIBERS[..], &QUICK_SUBSCRIBERS[..]);
    let counts = options
        .subscribers
        .map_or(counts.to_vec(), |count| vec![count]);
    let mut cases = Vec::new();
    for subscribers in counts {
        let mut case = Case::new(NAME, format!("{subscribers} subscribers"));
        eprintln!("{NAME}: {subscribers} subscribers");
        let mut testbeds = Vec::new();
        for target in [Target::Reference, Target::Bifrost] {
            testbeds.push(start(options, target, subscribers, &mut case)?);
        }
        measure_cpu(
            options.full_or_quick(IDLE, QUICK_IDLE),
            &mut testbeds,
            &mut case,
        )?;
        for testbed in &mut testbeds {
            close_all_twice(testbed, subscribers, &mut case)
                .map_err(|error| with_log(testbed, error))?;
        }
        set_goals(&mut case, subscribers);
        cases.push(case);
    }
    report.show(&cases)
}

fn set_goals(case: &mut Case, subscribers: usize) {
    case.expect(RESIDENT, Goal::AtMost(20.0));
    case.expect(THREADS, Goal::AtMost(1.0));
    case.expect(DESCRIPTORS, Goal::AtMost(2.0));
    if subscribers == 9_000 {
        case.expect(CPU, Goal::AtMost(2.0));
        case.expect(GROWTH, Goal::AtMost(1.2));
    }
}

/// Starts a server and connects the subscribers, one channel each.
fn start(
    options: &Options,
    target: Target,
    subscribers: usize,
    case: &mut Case,
) -> Result<Testbed> {
    let mut testbed = Testbed::start(target, &options.launch)?;
    let (empty, slab) = (testbed.server.memory()?, proc_stats::slab()?);
    let threads = testbed.server.threads()?;
    connect_subscribers(&mut testbed, subscribers).map_err(|error| with_log(&testbed, error))?;
    testbed.poll_until(Instant::now() + SETTLING)?;
    let Memory { resident, kernel } = testbed.server.memory()?;
    let each = |size: u64, before: u64| kib(size.saturating_sub(before)) / subscribers as f64;
    let new_threads = testbed.server.threads()? - threads;
    case.sample(target, RESIDENT, each(resident, empty.resident));
    case.sample(target, STACKS, each(kernel, empty.kernel));
    case.sample(target, SLAB, each(proc_stats::slab()?, slab));
    case.sample(target, THREADS, new_threads as f64 / subscribers as f64);
    case.sample(target, DESCRIPTORS, testbed.files_per_subscriber()?);
    case.sample(target, EMPTY, kib(empty.resident) / 1024.0);
    Ok(testbed)
}

fn connect_subscribers(testbed: &mut Testbed, subscribers: usize) -> Result {
    let (target, signer) = (testbed.target(), Signer::new());
    let handshake = |number| target.handshake(&signer, &[format!("user:{number}")]);
    testbed
        .connect_subscribers(subscribers, CONNECTING, handshake)
        .map(drop)
}

/// Measures CPU time while the subscribers are idle, of all servers at the same time.
fn measure_cpu(duration: Duration, testbeds: &mut [Testbed], case: &mut Case) -> Result {
    for testbed in testbeds.iter_mut() {
        testbed.server.start_cpu()?;
    }
    let start = Instant::now();
    while start.elapsed() < duration {
        for testbed in testbeds.iter_mut() {
            let polled = testbed.poll_until(Instant::now() + SLICE);
            polled.map_err(|error| with_log(testbed, error))?;
        }
    }
    for testbed in testbeds {
        let share = testbed.server.cpu()?.as_secs_f64() / start.elapsed().as_secs_f64();
        case.sample(testbed.target(), CPU, share * 100.0);
    }
    Ok(())
}

fn close_all_twice(testbed: &mut Testbed, subscribers: usize, case: &mut Case) -> Result {
    let target = testbed.target();
    let first = close_all(testbed)?;
    connect_subscribers(testbed, subscribers)?;
    let second = close_all(testbed)?;
    case.sample(target, AFTER_ONCE, first);
    case.sample(target, AFTER_TWICE, second);
    case.sample(target, GROWTH, second / first);
    Ok(())
}

/// Closes all connections; gives the memory that stays resident, in MiB.
fn close_all(testbed: &mut Testbed) -> Result<f64> {
    testbed.close_from(0)?;
    testbed.poll_until(Instant::now() + SETTLING)?;
    Ok(kib(testbed.server.memory()?.resident) / 1024.0)
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
