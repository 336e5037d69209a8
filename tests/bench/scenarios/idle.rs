//! Idle: what subscribers cost who only wait, and what is left when they are gone.

use std::time::{Duration, Instant};

use super::{GATHERING, on_stage};
use crate::Result;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::{Case, Goal, Metric, Report};
use crate::server::readings::{self, Memory};
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "idle";

const SUBSCRIBERS: [usize; 2] = [1_000, 9_000];
const QUICK_SUBSCRIBERS: [usize; 1] = [1_000];
/// Four heartbeats.
const WATCH: Duration = Duration::from_secs(60);
/// One heartbeat, so that pongs are answered at all.
const QUICK_WATCH: Duration = Duration::from_secs(17);
/// How long each server is listened to before the next; far less than its patience.
const SLICE: Duration = Duration::from_millis(100);
/// For a server to put away what it needed to let everybody in.
const SETTLING: Duration = Duration::from_secs(1);

const RESIDENT: Metric = Metric::new("resident memory per subscriber", "KiB");
const STACKS: Metric = Metric::new("kernel stacks and page tables per subscriber", "KiB");
/// The client's sockets are in it too, and are the same for all servers.
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
/// When a subscriber is not let in, or is cut.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let crowds = plan.either(&SUBSCRIBERS[..], &QUICK_SUBSCRIBERS[..]);
    let crowds = plan.subscribers.map_or(crowds.to_vec(), |one| vec![one]);
    let mut cases = Vec::new();
    for subscribers in crowds {
        let mut case = Case::new(NAME, format!("{subscribers} subscribers"));
        eprintln!("{NAME}: {subscribers} subscribers");
        let mut stages = Vec::new();
        for target in [Target::Reference, Target::Bifrost] {
            stages.push(fill(plan, target, subscribers, &mut case)?);
        }
        watch(plan.either(WATCH, QUICK_WATCH), &mut stages, &mut case)?;
        for stage in &mut stages {
            empty_twice(stage, subscribers, &mut case).map_err(|error| on_stage(stage, error))?;
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

/// Starts a server and lets the subscribers in, one channel each.
fn fill(plan: &Plan, target: Target, subscribers: usize, case: &mut Case) -> Result<Stage> {
    let mut stage = Stage::open(target, &plan.launch)?;
    let (empty, slab) = (stage.server.memory()?, readings::slab()?);
    let threads = stage.server.threads()?;
    gather(&mut stage, subscribers).map_err(|error| on_stage(&stage, error))?;
    stage.attend(Instant::now() + SETTLING)?;
    let Memory { resident, kernel } = stage.server.memory()?;
    let each = |size: u64, before: u64| kib(size.saturating_sub(before)) / subscribers as f64;
    let new_threads = stage.server.threads()? - threads;
    case.sample(target, RESIDENT, each(resident, empty.resident));
    case.sample(target, STACKS, each(kernel, empty.kernel));
    case.sample(target, SLAB, each(readings::slab()?, slab));
    case.sample(target, THREADS, new_threads as f64 / subscribers as f64);
    case.sample(target, DESCRIPTORS, stage.files_per_subscriber()?);
    case.sample(target, EMPTY, kib(empty.resident) / 1024.0);
    Ok(stage)
}

fn gather(stage: &mut Stage, subscribers: usize) -> Result {
    let (target, signer) = (stage.target(), Signer::new());
    let invite = |number| target.invitation(&signer, &[format!("user:{number}")]);
    stage.gather(subscribers, GATHERING, invite).map(drop)
}

/// Answers heartbeats, of all servers at the same time.
fn watch(duration: Duration, stages: &mut [Stage], case: &mut Case) -> Result {
    for stage in stages.iter_mut() {
        stage.server.begin()?;
    }
    let start = Instant::now();
    while start.elapsed() < duration {
        for stage in stages.iter_mut() {
            let attended = stage.attend(Instant::now() + SLICE);
            attended.map_err(|error| on_stage(stage, error))?;
        }
    }
    for stage in stages {
        let share = stage.server.used()?.as_secs_f64() / start.elapsed().as_secs_f64();
        case.sample(stage.target(), CPU, share * 100.0);
    }
    Ok(())
}

fn empty_twice(stage: &mut Stage, subscribers: usize, case: &mut Case) -> Result {
    let target = stage.target();
    let first = empty(stage)?;
    gather(stage, subscribers)?;
    let second = empty(stage)?;
    case.sample(target, AFTER_ONCE, first);
    case.sample(target, AFTER_TWICE, second);
    case.sample(target, GROWTH, second / first);
    Ok(())
}

/// Sends all away; tells what stays resident, in MiB.
fn empty(stage: &mut Stage) -> Result<f64> {
    stage.dismiss_from(0)?;
    stage.attend(Instant::now() + SETTLING)?;
    Ok(kib(stage.server.memory()?.resident) / 1024.0)
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
