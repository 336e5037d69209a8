//! Fan-out: one message at a time to everybody on one channel.

use std::time::{Duration, Instant};

use super::{GATHERING, both, micros, on_stage, own_time, take_turns};
use crate::Result;
use crate::client::ledger::{Audience, Ledger};
use crate::client::script::{Outline, Script};
use crate::client::stage::{Play, Stage};
use crate::plan::Plan;
use crate::report::{Case, Goal, Metric, Report, median};
use crate::server::target::Signer;

/// Its name on the command line.
pub const NAME: &str = "fan-out";

const SUBSCRIBERS: [usize; 4] = [100, 1_000, 5_000, 9_000];
const QUICK_SUBSCRIBERS: [usize; 2] = [100, 1_000];
const SIZES: [usize; 2] = [128, 4096];
/// Deliveries of a turn: about a second.
const DELIVERIES: usize = 300_000;
/// The fewest broadcasts of a turn that a median means something of.
const FEWEST: usize = 30;
/// Different messages; more than this many are never under way.
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
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let crowds = plan.either(&SUBSCRIBERS[..], &QUICK_SUBSCRIBERS[..]);
    let crowds = plan.subscribers.map_or(crowds.to_vec(), |one| vec![one]);
    let sizes = plan.size.map_or(SIZES.to_vec(), |one| vec![one]);
    let mut cases = Vec::new();
    for subscribers in crowds {
        let signer = Signer::new();
        let mut stages = both(plan)?;
        for stage in &mut stages {
            let invitation = stage.target().invitation(&signer, &[CHANNEL.to_owned()]);
            stage
                .gather(subscribers, GATHERING, |_| invitation.clone())
                .map_err(|error| on_stage(stage, error))?;
            stage.hire(1)?;
        }
        for size in &sizes {
            cases.push(measure(plan, &signer, &mut stages, *size, CHANNEL)?);
        }
    }
    report.show(&cases)
}

/// Measures stages that are already full, each round by round.
///
/// # Errors
/// When a message is lost, doubled, damaged or out of order.
pub fn measure(
    plan: &Plan,
    signer: &Signer,
    stages: &mut [Stage],
    size: usize,
    channel: &str,
) -> Result<Case> {
    let subscribers = stages[0].crowd_size();
    let mut case = Case::new(NAME, format!("{subscribers} × {size} B"));
    eprintln!("{NAME}: {subscribers} × {size} B");
    let broadcasts = plan.either((DELIVERIES / subscribers).max(FEWEST), FEWEST);
    let mut players: Vec<_> = stages
        .iter_mut()
        .map(|stage| (Rehearsed::new(stage, signer, size, channel), stage))
        .collect();
    for (rehearsed, stage) in &mut players {
        rehearsed
            .turn(stage, FEWEST) // warms up
            .map_err(|error| on_stage(stage, error))?;
    }
    take_turns(
        plan.rounds,
        &mut players,
        |(_, stage)| stage,
        |(rehearsed, stage)| {
            let turn = rehearsed.turn(stage, broadcasts)?;
            let deliveries = (broadcasts * subscribers) as f64;
            let target = stage.target();
            case.sample(target, CPU, micros(turn.server) / deliveries);
            case.sample(target, CLIENT_CPU, micros(turn.client) / deliveries);
            case.sample(target, FIRST, median(&turn.first));
            case.sample(target, MIDDLE, median(&turn.middle));
            case.sample(target, LAST, median(&turn.last));
            case.sample(target, RATE, deliveries / turn.wall.as_secs_f64());
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

/// What a stage broadcasts, and what was heard of it in all turns so far.
struct Rehearsed {
    script: Script,
    ledger: Ledger,
    subscribers: usize,
}

/// What was measured in one turn; the times are of each broadcast, in microseconds.
#[derive(Default)]
struct Turn {
    server: Duration,
    client: Duration,
    wall: Duration,
    first: Vec<f64>,
    middle: Vec<f64>,
    last: Vec<f64>,
}

impl Rehearsed {
    fn new(stage: &Stage, signer: &Signer, size: usize, channel: &str) -> Rehearsed {
        let outline = Outline {
            target: stage.target(),
            signer,
            streams: 1,
            cycle: CYCLE,
            size,
        };
        let subscribers = stage.crowd_size();
        Rehearsed {
            script: Script::write(&outline, |_| channel.to_owned()),
            ledger: Ledger::new(Audience::All(1), subscribers, CYCLE, size),
            subscribers,
        }
    }

    fn turn(&mut self, stage: &mut Stage, broadcasts: usize) -> Result<Turn> {
        let mut turn = Turn::default();
        stage.server.begin()?;
        let client = own_time();
        let start = Instant::now();
        for _ in 0..broadcasts {
            self.broadcast(stage, &mut turn)?;
        }
        turn.wall = start.elapsed();
        turn.client = own_time().saturating_sub(client);
        turn.server = stage.server.used()?;
        stage.await_stragglers()?;
        self.ledger
            .settle(self.script.sent(), self.subscribers as u64)?;
        Ok(turn)
    }

    fn broadcast(&mut self, stage: &mut Stage, turn: &mut Turn) -> Result {
        let (_, request) = self.script.next(0);
        let mut wave = Wave {
            ledger: &mut self.ledger,
            subscribers: self.subscribers,
            heard: 0,
            is_answered: false,
            since: Instant::now(),
            turn,
        };
        stage.post(0, request)?;
        stage.perform(&mut wave)
    }
}

/// One broadcast on its way to everybody.
struct Wave<'a> {
    ledger: &'a mut Ledger,
    subscribers: usize,
    heard: usize,
    is_answered: bool,
    since: Instant,
    turn: &'a mut Turn,
}

impl Play for Wave<'_> {
    #[inline]
    fn heard(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        self.ledger.note(subscriber, payload)?;
        self.heard += 1;
        // The clock is read for these three only.
        if self.heard == 1 {
            self.turn.first.push(micros(self.since.elapsed()));
        }
        if self.heard == self.subscribers.div_ceil(2) {
            self.turn.middle.push(micros(self.since.elapsed()));
        }
        if self.heard == self.subscribers {
            self.turn.last.push(micros(self.since.elapsed()));
        }
        Ok(())
    }

    fn answered(&mut self, _publisher: usize, deliveries: u64) -> Result<Option<&[u8]>> {
        self.is_answered = true;
        match deliveries == self.subscribers as u64 {
            true => Ok(None),
            false => {
                Err(format!("{deliveries} deliveries were told of {}", self.subscribers).into())
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_answered && self.heard >= self.subscribers
    }
}
