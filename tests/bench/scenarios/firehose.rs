//! Firehose: broadcasts to one large channel as fast as they are answered.

use std::time::Duration;

use super::flow::{self, Flow, Source};
use super::{GATHERING, both, on_stage, take_turns};
use crate::Result;
use crate::client::ledger::Audience;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::{Case, Goal, Report};
use crate::server::target::Signer;

/// Its name on the command line.
pub const NAME: &str = "firehose";

const SUBSCRIBERS: usize = 1_000;
const PUBLISHERS: [usize; 2] = [1, 4];
const SIZE: usize = 128;
/// Different messages of a publisher: more than ever wait for a subscriber.
const CYCLE: usize = 1_024;
const CHANNEL: &str = "firehose";
const TURN: Duration = Duration::from_secs(2);
const QUICK_TURN: Duration = Duration::from_millis(500);

/// Measures every number of publishers.
///
/// # Errors
/// When a message is lost, doubled, damaged or out of order.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let signer = Signer::new();
    let subscribers = plan.subscribers.unwrap_or(SUBSCRIBERS);
    let mut stages = both(plan)?;
    for stage in &mut stages {
        let invitation = stage.target().invitation(&signer, &[CHANNEL.to_owned()]);
        stage
            .gather(subscribers, GATHERING, |_| invitation.clone())
            .map_err(|error| on_stage(stage, error))?;
    }
    let mut cases = Vec::new();
    for publishers in PUBLISHERS {
        cases.push(measure(plan, &signer, &mut stages, publishers, CHANNEL)?);
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
    publishers: usize,
    channel: &str,
) -> Result<Case> {
    let subscribers = stages[0].crowd_size();
    let size = plan.size.unwrap_or(SIZE);
    let label = format!("{subscribers} × {size} B, publishers: {publishers}");
    eprintln!("{NAME}: {label}");
    let mut case = Case::new(NAME, label);
    let source = Source {
        signer,
        audience: Audience::All(publishers),
        streams: publishers,
        cycle: CYCLE,
        size,
        subscribers,
        reach: subscribers,
    };
    let duration = plan.either(TURN, QUICK_TURN);
    let mut players = Vec::new();
    for stage in stages {
        let mut flow = Flow::new(stage, &source, |_| channel.to_owned());
        flow.turn(stage, publishers, duration / 4) // warms up
            .map_err(|error| on_stage(stage, error))?;
        players.push((flow, stage));
    }
    take_turns(
        plan.rounds,
        &mut players,
        |(_, stage)| stage,
        |(flow, stage)| {
            let turn = flow.turn(stage, publishers, duration)?;
            for (metric, value) in turn.figures() {
                if metric != flow::CPU_PER_BROADCAST {
                    case.sample(stage.target(), metric, value);
                }
            }
            Ok(())
        },
    )?;
    if publishers == 4 {
        case.expect(flow::DELIVERIES, Goal::RatioAtLeast(1.7));
    }
    Ok(case)
}
