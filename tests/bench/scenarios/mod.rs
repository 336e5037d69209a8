//! The scenarios, and what they share.

mod channels;
mod connect;
mod direct;
mod fan_out;
mod firehose;
mod flow;
mod idle;
mod peers;
mod soak;

use std::error::Error;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::Report;
use crate::server::target::Target;

/// Connections in flight while a crowd gathers that is not what is measured.
pub const GATHERING: usize = 200;
/// How long each stage is attended to between turns.
const ATTENTION: Duration = Duration::from_millis(20);

/// Something that is measured by itself.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Measures it.
    pub run: fn(&Plan, &mut Report) -> Result,
    /// Whether it runs when none is chosen.
    when: When,
}

#[derive(PartialEq)]
enum When {
    Always,
    /// But not when it must be quick.
    Unhurried,
    /// It needs more than a checkout.
    Never,
}

const SCENARIOS: [Scenario; 8] = [
    scenario(fan_out::NAME, fan_out::run, When::Always),
    scenario(firehose::NAME, firehose::run, When::Always),
    scenario(direct::NAME, direct::run, When::Always),
    scenario(connect::NAME, connect::run, When::Always),
    scenario(idle::NAME, idle::run, When::Always),
    scenario(channels::NAME, channels::run, When::Always),
    scenario(soak::NAME, soak::run, When::Unhurried),
    scenario(peers::NAME, peers::run, When::Never),
];

const fn scenario(
    name: &'static str,
    run: fn(&Plan, &mut Report) -> Result,
    when: When,
) -> Scenario {
    Scenario { name, run, when }
}

/// Their names, for the help.
pub fn names() -> String {
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    names.join(", ")
}

/// Those that a plan asks for.
///
/// # Errors
/// When it names one that there is not.
pub fn chosen(plan: &Plan) -> Result<Vec<&'static Scenario>> {
    let is_wanted = |scenario: &&Scenario| match scenario.when {
        When::Always => true,
        When::Unhurried => plan.either(true, false),
        When::Never => false,
    };
    if plan.chosen.is_empty() {
        return Ok(SCENARIOS.iter().filter(is_wanted).collect());
    }
    let find = |name: &String| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| format!("scenario {name:?} is none of {}", names()).into())
    };
    plan.chosen.iter().map(find).collect()
}

/// Bifrost and the reference, started.
///
/// # Errors
/// When one does not start.
pub fn both(plan: &Plan) -> Result<Vec<Stage>> {
    [Target::Reference, Target::Bifrost]
        .into_iter()
        .map(|target| Stage::open(target, &plan.launch))
        .collect()
}

/// Has all have a turn in every round, each first as often as the others. Between turns everybody's
/// pings are answered: with five servers a round takes longer than a silent subscriber may be.
///
/// # Errors
/// When a turn fails; with the server's last words.
pub fn take_turns<P>(
    rounds: usize,
    players: &mut [P],
    stage: impl for<'a> Fn(&'a mut P) -> &'a mut Stage,
    mut turn: impl FnMut(&mut P) -> Result,
) -> Result {
    for round in 0..rounds {
        for place in 0..players.len() {
            let place = (place + round) % players.len();
            for player in players.iter_mut() {
                let stage = stage(player);
                let served = stage.attend(Instant::now() + ATTENTION);
                served.map_err(|error| on_stage(stage, error))?;
            }
            let player = &mut players[place];
            turn(player).map_err(|error| on_stage(stage(player), error))?;
        }
    }
    Ok(())
}

/// Adds the server's name and last words to what went wrong on its stage.
pub fn on_stage(stage: &Stage, error: impl std::fmt::Display) -> Box<dyn Error> {
    let server = &stage.server;
    format!("{}: {error}\n{}", server.target.name(), server.last_words()).into()
}

/// In microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// CPU time of this process, which is exact.
pub fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
