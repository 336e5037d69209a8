//! Peers: the servers that a user would otherwise pick, driven by the same client.
//!
//! They are installed by `tests/bench/peers/install`.

use super::{GATHERING, fan_out, firehose, on_stage};
use crate::Result;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::Report;
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "peers";

const TARGETS: [Target; 5] = [
    Target::Reference,
    Target::Bifrost,
    Target::Nchan { workers: 1 },
    Target::Nchan { workers: 2 },
    Target::NodeWs,
];
const SUBSCRIBERS: usize = 1_000;
const PUBLISHERS: usize = 4;
const SIZE: usize = 128;
const CHANNEL: &str = "peers";

/// Measures a fan-out and a firehose with each.
///
/// # Errors
/// When one is not installed, or a message is lost, doubled, damaged or out of order.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let signer = Signer::new();
    let subscribers = plan.subscribers.unwrap_or(SUBSCRIBERS);
    let size = plan.size.unwrap_or(SIZE);
    let mut stages = Vec::new();
    for target in TARGETS {
        let mut stage = Stage::open(target, &plan.launch)?;
        let invitation = target.invitation(&signer, &[CHANNEL.to_owned()]);
        stage
            .gather(subscribers, GATHERING, |_| invitation.clone())
            .map_err(|error| on_stage(&stage, error))?;
        stage.hire(1)?;
        stages.push(stage);
    }
    let cases = [
        fan_out::measure(plan, &signer, &mut stages, size, CHANNEL)?.of(NAME),
        firehose::measure(plan, &signer, &mut stages, PUBLISHERS, CHANNEL)?.of(NAME),
    ];
    report.show(&cases)
}
