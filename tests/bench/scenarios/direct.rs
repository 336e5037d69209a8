//! Direct: many channels with one subscriber each, as when users are told one by one.

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
pub const NAME: &str = "direct";

const CHANNELS: usize = 1_000;
const PUBLISHERS: [usize; 3] = [1, 4, 16];
const SIZE: usize = 128;
/// Different messages of a channel.
const CYCLE: usize = 16;
const TURN: Duration = Duration::from_secs(2);
const QUICK_TURN: Duration = Duration::from_millis(500);

/// Measures every number of publishers.
///
/// # Errors
/// When a message is lost, doubled, damaged, out of order or at somebody else's.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let signer = Signer::new();
    let channels = plan.subscribers.unwrap_or(CHANNELS);
    let mut stages = both(plan)?;
    for stage in &mut stages {
        let target = stage.target();
        let invite = |number| target.invitation(&signer, &[channel(number)]);
        stage
            .gather(channels, GATHERING, invite)
            .map_err(|error| on_stage(stage, error))?;
    }
    let source = Source {
        signer: &signer,
        audience: Audience::Own(1),
        streams: channels,
        cycle: CYCLE,
        size: plan.size.unwrap_or(SIZE),
        subscribers: channels,
        reach: 1,
    };
    let mut players: Vec<_> = stages
        .iter_mut()
        .map(|stage| (Flow::new(stage, &source, channel), stage))
        .collect();
    let mut cases = Vec::new();
    for publishers in PUBLISHERS {
        cases.push(measure(plan, &mut players, publishers)?);
    }
    report.show(&cases)
}

fn channel(number: usize) -> String {
    format!("user:{number}")
}

fn measure(plan: &Plan, players: &mut [(Flow, &mut Stage)], publishers: usize) -> Result<Case> {
    let label = format!("publishers: {publishers}");
    eprintln!("{NAME}: {label}");
    let mut case = Case::new(NAME, label);
    let duration = plan.either(TURN, QUICK_TURN);
    for (flow, stage) in players.iter_mut() {
        flow.turn(stage, publishers, duration / 4) // warms up
            .map_err(|error| on_stage(stage, error))?;
    }
    take_turns(
        plan.rounds,
        players,
        |(_, stage)| stage,
        |(flow, stage)| {
            let turn = flow.turn(stage, publishers, duration)?;
            for (metric, value) in turn.figures() {
                if metric != flow::DELIVERIES && metric != flow::CPU_PER_DELIVERY {
                    case.sample(stage.target(), metric, value);
                }
            }
            Ok(())
        },
    )?;
    match publishers {
        1 => case.expect(flow::BROADCASTS, Goal::RatioAtLeast(0.8)),
        4 => case.expect(flow::CPU_PER_BROADCAST, Goal::RatioAtMost(2.0)),
        _ => {}
    }
    Ok(case)
}
