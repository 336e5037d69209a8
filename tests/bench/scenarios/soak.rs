//! Soak: ten minutes of connects, leaves and broadcasts; nothing may grow.

use std::time::{Duration, Instant};

use super::flow::{Flow, Source};
use super::{GATHERING, on_stage};
use crate::Result;
use crate::client::crowd::Invitation;
use crate::client::ledger::Audience;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::{Case, Goal, Metric, Report};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "soak";

const MINUTES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const QUICK_MINUTE: Duration = Duration::from_secs(3);
/// Who stays throughout, and is counted with.
const RESIDENTS: usize = 500;
/// Who comes and goes: so many more at the most.
const GUESTS: usize = 1_500;
/// The crowd's size walks in steps of this, so that it seldom has the same size twice.
const STRIDE: usize = 617;
const PUBLISHERS: usize = 4;
const SIZE: usize = 256;
const CYCLE: usize = 1_024;
const CHANNEL: &str = "soak";
/// How long is broadcast before the next come and go.
const SONG: Duration = Duration::from_millis(500);
/// For a server to put away what leaving took.
const SETTLING: Duration = Duration::from_secs(1);
/// What was not put away by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

const RESIDENT: Metric = Metric::new("resident memory", "MiB");
const THREADS: Metric = Metric::new("threads", "");
const DESCRIPTORS: Metric = Metric::new("descriptors", "");
const DELIVERIES: Metric = Metric::new("deliveries since the minute before", "");
const VISITS: Metric = Metric::new("connections since the minute before", "");
const GROWTH: Metric = Metric::new("resident memory ÷ that after the second minute", "");
/// Where memory is compared from: by then every allocator arena is in use.
const WARM: u32 = 2;

/// Measures Bifrost alone: what matters is whether a minute is like the one before.
///
/// # Errors
/// When a message is lost, or threads or descriptors are not given back.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let mut stage = Stage::open(Target::Bifrost, &plan.launch)?;
    let cases = soak(plan, &mut stage).map_err(|error| on_stage(&stage, error))?;
    report.show(&cases)
}

fn soak(plan: &Plan, stage: &mut Stage) -> Result<Vec<Case>> {
    let signer = Signer::new();
    let invitation = stage.target().invitation(&signer, &[CHANNEL.to_owned()]);
    let source = Source {
        signer: &signer,
        audience: Audience::All(PUBLISHERS),
        streams: PUBLISHERS,
        cycle: CYCLE,
        size: plan.size.unwrap_or(SIZE),
        subscribers: 0,
        reach: 0,
    };
    let mut flow = Flow::new(stage, &source, |_| CHANNEL.to_owned());
    stage.gather(RESIDENTS, GATHERING, |_| invitation.clone())?;
    stage.hire(PUBLISHERS)?;
    stage.attend(Instant::now() + SETTLING)?;
    let (mut cases, mut size, mut warm) = (Vec::new(), 0, 0.0);
    let counts = (stage.server.threads()?, stage.server.descriptors()?);
    for minute in 1..=MINUTES {
        eprintln!("{NAME}: minute {minute} of {MINUTES}");
        let mut case = Case::new(NAME, format!("minute {minute}"));
        let until = Instant::now() + plan.either(MINUTE, QUICK_MINUTE);
        bustle(stage, &mut flow, &invitation, &mut size, until, &mut case)?;
        stage.dismiss_from(RESIDENTS)?;
        check_counts(stage, counts)?;
        let resident = take_stock(stage, &mut case)?;
        if minute == WARM {
            warm = resident;
        }
        if minute == MINUTES {
            case.sample(stage.target(), GROWTH, resident / warm);
            case.expect(GROWTH, Goal::AtMost(1.1));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// Guests come and go, and everybody hears everything.
fn bustle(
    stage: &mut Stage,
    flow: &mut Flow,
    invitation: &Invitation,
    size: &mut usize,
    until: Instant,
    case: &mut Case,
) -> Result {
    let (mut deliveries, mut visits) = (0.0, 0);
    while Instant::now() < until {
        *size = (*size + STRIDE) % GUESTS;
        let wanted = RESIDENTS + *size;
        if wanted < stage.crowd_size() {
            stage.dismiss_from(wanted)?;
        } else {
            let guests = wanted - stage.crowd_size();
            stage.gather(guests, GATHERING, |_| invitation.clone())?;
            visits += guests;
        }
        flow.restart(wanted);
        deliveries += flow.turn(stage, PUBLISHERS, SONG)?.deliveries;
    }
    case.sample(stage.target(), DELIVERIES, deliveries);
    case.sample(stage.target(), VISITS, visits as f64);
    Ok(())
}

/// Notes what is left when the guests are gone; tells the resident memory in MiB.
fn take_stock(stage: &mut Stage, case: &mut Case) -> Result<f64> {
    stage.attend(Instant::now() + SETTLING)?;
    let resident = stage.server.memory()?.resident as f64 / f64::from(1 << 20);
    let target = stage.target();
    case.sample(target, RESIDENT, resident);
    case.sample(target, THREADS, stage.server.threads()? as f64);
    case.sample(target, DESCRIPTORS, stage.server.descriptors()? as f64);
    Ok(resident)
}

/// Waits until threads and descriptors are as many as in the beginning: on a busy machine those
/// who have left take a while to be put away.
fn check_counts(stage: &mut Stage, (threads, descriptors): (usize, usize)) -> Result {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = (stage.server.threads()?, stage.server.descriptors()?);
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
        stage.attend(Instant::now() + SETTLING)?;
    }
}
