//! The scenarios, and what they share.

mod channels;
mod closed_loop;
mod connect;
mod direct;
mod fan_out;
mod firehose;
mod idle;
mod peers;
mod soak;

use std::error::Error;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::Report;
use crate::server::target::Target;

/// Handshakes in flight where connecting is not what is measured.
pub const CONNECTING: usize = 200;
/// How long each testbed is polled between measurements.
const POLL: Duration = Duration::from_millis(20);

/// A scenario of the command line.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&Options, &mut Report) -> Result,
    /// Whether it runs when none is chosen.
    when: When,
}

#[derive(PartialEq)]
enum When {
    Always,
    /// In the full mode only.
    Full,
    /// Only when named: it needs servers to be installed.
    Named,
}

const SCENARIOS: [Scenario; 8] = [
    scenario(fan_out::NAME, fan_out::run, When::Always),
    scenario(firehose::NAME, firehose::run, When::Always),
    scenario(direct::NAME, direct::run, When::Always),
    scenario(connect::NAME, connect::run, When::Always),
    scenario(idle::NAME, idle::run, When::Always),
    scenario(channels::NAME, channels::run, When::Always),
    scenario(soak::NAME, soak::run, When::Full),
    scenario(peers::NAME, peers::run, When::Named),
];

const fn scenario(
    name: &'static str,
    run: fn(&Options, &mut Report) -> Result,
    when: When,
) -> Scenario {
    Scenario { name, run, when }
}

/// Their names, for the help.
pub fn names() -> String {
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    names.join(", ")
}

/// The scenarios to run.
///
/// # Errors
/// When the options name an unknown one.
pub fn chosen(options: &Options) -> Result<Vec<&'static Scenario>> {
    let is_wanted = |scenario: &&Scenario| match scenario.when {
        When::Always => true,
        When::Full => options.full_or_quick(true, false),
        When::Named => false,
    };
    if options.chosen.is_empty() {
        return Ok(SCENARIOS.iter().filter(is_wanted).collect());
    }
    let find = |name: &String| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| format!("scenario {name:?} is none of {}", names()).into())
    };
    options.chosen.iter().map(find).collect()
}

/// Bifrost and the reference, started.
///
/// # Errors
/// When one does not start.
pub fn both(options: &Options) -> Result<Vec<Testbed>> {
    [Target::Reference, Target::Bifrost]
        .into_iter()
        .map(|target| Testbed::start(target, &options.launch))
        .collect()
}

/// Measures every entry once a round, starting with another one in each. The pings of all servers
/// are answered between measurements: with five servers a round takes longer than a subscriber may
/// be silent.
///
/// # Errors
/// When a measurement fails; with the end of the server's log.
pub fn run_rounds<P>(
    rounds: usize,
    entries: &mut [P],
    testbed: impl for<'a> Fn(&'a mut P) -> &'a mut Testbed,
    mut measure: impl FnMut(&mut P) -> Result,
) -> Result {
    for round in 0..rounds {
        for index in 0..entries.len() {
            let index = (index + round) % entries.len();
            for entry in entries.iter_mut() {
                let testbed = testbed(entry);
                let polled = testbed.poll_until(Instant::now() + POLL);
                polled.map_err(|error| with_log(testbed, error))?;
            }
            let entry = &mut entries[index];
            measure(entry).map_err(|error| with_log(testbed(entry), error))?;
        }
    }
    Ok(())
}

/// Adds the server's name and the end of its log to an error.
pub fn with_log(testbed: &Testbed, error: impl std::fmt::Display) -> Box<dyn Error> {
    let server = &testbed.server;
    format!("{}: {error}\n{}", server.target.name(), server.log_tail()).into()
}

/// The duration in microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// CPU time of this process.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
