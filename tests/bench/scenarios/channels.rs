//! Many channels: a hundred on each connection, and a hundred thousand on the server.

use std::time::{Duration, Instant};

use super::flow::{self, Flow, Source};
use super::{GATHERING, micros, on_stage};
use crate::Result;
use crate::client::ledger::Audience;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::{Case, Metric, Report};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "channels";

const SUBSCRIBERS: usize = 1_000;
const QUICK_SUBSCRIBERS: usize = 200;
/// Channels of each subscriber.
const EACH: usize = 100;
/// Those of its own channels that are broadcast on.
const SPOKEN: usize = 20;
/// Channels without anybody that are broadcast on.
const NOBODYS: usize = 20_000;
const SIZE: usize = 128;
const TURN: Duration = Duration::from_secs(1);
const QUICK_TURN: Duration = Duration::from_millis(300);

const MEMORY: Metric = Metric::new("resident memory per subscription", "B");
const SUBSCRIBING: Metric = Metric::new("server CPU per subscription", "µs");
/// In steps of 10 ms in all: threads end meanwhile.
const LEAVING: Metric = Metric::new("server CPU per subscription left", "µs");
const GONE: Metric = Metric::new("all gone after", "ms");
const TO_NOBODY: Metric = Metric::new("server CPU per broadcast to nobody", "µs");

/// How channels are spread over the subscribers.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    /// Everybody has the same.
    Shared,
    /// Everybody has others.
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

/// Measures both ways of spreading channels.
///
/// # Errors
/// When a message is lost, doubled, damaged, out of order or at somebody else's.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let subscribers = plan.either(SUBSCRIBERS, QUICK_SUBSCRIBERS);
    let subscribers = plan.subscribers.unwrap_or(subscribers);
    let mut cases = Vec::new();
    for spread in [Spread::Shared, Spread::Own] {
        let label = spread.label(subscribers);
        eprintln!("{NAME}: {label}");
        let mut case = Case::new(NAME, label);
        for round in 0..plan.rounds {
            let mut targets = [Target::Reference, Target::Bifrost];
            targets.rotate_left(round % 2);
            for target in targets {
                // A fresh server each time: memory given back would hide what is taken.
                let mut stage = Stage::open(target, &plan.launch)?;
                visit(plan, &mut stage, subscribers, spread, &mut case)
                    .map_err(|error| on_stage(&stage, error))?;
            }
        }
        cases.push(case);
    }
    report.show(&cases)
}

/// Everybody comes, subscribes, listens and leaves.
fn visit(
    plan: &Plan,
    stage: &mut Stage,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let signer = Signer::new();
    let target = stage.target();
    let first = |number| target.invitation(&signer, &[spread.channel(number, 0)]);
    stage.gather(subscribers, GATHERING, first)?;
    subscribe(stage, &signer, subscribers, spread, case)?;
    broadcast(plan, stage, &signer, subscribers, spread, case)?;
    if spread == Spread::Own {
        broadcast_to_nobody(plan, stage, &signer, case)?;
    }
    leave(stage, subscribers, case)
}

/// All channels but the first, which everybody has already.
fn subscribe(
    stage: &mut Stage,
    signer: &Signer,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let before = stage.server.memory()?.resident;
    let others = |subscriber| {
        let channel = |number| spread.channel(subscriber, number);
        (1..EACH).map(channel).collect()
    };
    stage.extend(signer, others)?;
    let used = stage.server.used()?;
    let memory = stage.server.memory()?.resident.saturating_sub(before);
    let subscriptions = (subscribers * (EACH - 1)) as f64;
    case.sample(stage.target(), MEMORY, memory as f64 / subscriptions);
    case.sample(stage.target(), SUBSCRIBING, micros(used) / subscriptions);
    Ok(())
}

fn broadcast(
    plan: &Plan,
    stage: &mut Stage,
    signer: &Signer,
    subscribers: usize,
    spread: Spread,
    case: &mut Case,
) -> Result {
    let source = Source {
        signer,
        audience: match spread {
            Spread::Shared => Audience::All(EACH),
            Spread::Own => Audience::Own(SPOKEN),
        },
        streams: match spread {
            Spread::Shared => EACH,
            Spread::Own => subscribers * SPOKEN,
        },
        cycle: match spread {
            Spread::Shared => 64,
            Spread::Own => 2,
        },
        size: plan.size.unwrap_or(SIZE),
        subscribers,
        reach: match spread {
            Spread::Shared => subscribers,
            Spread::Own => 1,
        },
    };
    let channel = |stream| match spread {
        Spread::Shared => spread.channel(0, stream),
        Spread::Own => spread.channel(stream / SPOKEN, stream % SPOKEN),
    };
    let mut flow = Flow::new(stage, &source, channel);
    let turn = flow.turn(stage, 1, plan.either(TURN, QUICK_TURN))?;
    for (metric, value) in turn.figures() {
        if [flow::BROADCASTS, flow::CPU_PER_BROADCAST, flow::HALF].contains(&metric) {
            case.sample(stage.target(), metric, value);
        }
    }
    Ok(())
}

fn broadcast_to_nobody(plan: &Plan, stage: &mut Stage, signer: &Signer, case: &mut Case) -> Result {
    let source = Source {
        signer,
        audience: Audience::All(0),
        streams: NOBODYS,
        cycle: 1,
        size: plan.size.unwrap_or(SIZE),
        subscribers: 0,
        reach: 0,
    };
    let mut flow = Flow::new(stage, &source, |stream| format!("nobody:{stream}"));
    let turn = flow.turn(stage, 1, plan.either(TURN, QUICK_TURN))?;
    let each = micros(turn.server) / turn.broadcasts;
    case.sample(stage.target(), TO_NOBODY, each);
    Ok(())
}

fn leave(stage: &mut Stage, subscribers: usize, case: &mut Case) -> Result {
    let (used, start) = (stage.server.total_time()?, Instant::now());
    stage.dismiss_from(0)?;
    let wall = start.elapsed();
    let used = stage.server.total_time()?.saturating_sub(used);
    let each = micros(used) / (subscribers * EACH) as f64;
    case.sample(stage.target(), LEAVING, each);
    case.sample(stage.target(), GONE, micros(wall) / 1e3);
    Ok(())
}
