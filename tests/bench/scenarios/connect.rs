//! Connect: thousands of clients come at once, as after a restart.

use std::time::{Duration, Instant};

use super::{both, micros, own_time, take_turns};
use crate::Result;
use crate::client::crowd::Invitation;
use crate::client::stage::Stage;
use crate::plan::Plan;
use crate::report::{Case, Goal, Metric, Report};
use crate::server::target::Signer;

/// Its name on the command line.
pub const NAME: &str = "connect";

const CLIENTS: usize = 5_000;
const QUICK_CLIENTS: usize = 1_000;
const AT_ONCE: [usize; 2] = [100, 1_000];

const RATE: Metric = Metric::new("connections per second", "1/s");
const HALF: Metric = Metric::new("p50 until subscribed", "ms");
const MOST: Metric = Metric::new("p99 until subscribed", "ms");
/// In steps of 10 ms in all: threads end meanwhile.
const CPU: Metric = Metric::new("server CPU per connection", "µs");
const CLIENT_CPU: Metric = Metric::new("client CPU per connection", "µs");

/// Measures every number at once.
///
/// # Errors
/// When a client is not let in.
pub fn run(plan: &Plan, report: &mut Report) -> Result {
    let clients = plan.either(CLIENTS, QUICK_CLIENTS);
    let clients = plan.subscribers.unwrap_or(clients);
    let signer = Signer::new();
    let mut cases = Vec::new();
    for at_once in AT_ONCE {
        let label = format!("{clients} clients, {at_once} at a time");
        eprintln!("{NAME}: {label}");
        let mut case = Case::new(NAME, label);
        let stages = both(plan)?.into_iter();
        let mut players: Vec<_> = stages
            .map(|stage| (invitations(&stage, &signer, clients), stage))
            .collect();
        take_turns(
            plan.rounds,
            &mut players,
            |(_, stage)| stage,
            |(invitations, stage)| turn(stage, invitations, at_once, &mut case),
        )?;
        case.expect(RATE, Goal::RatioAtLeast(0.3));
        cases.push(case);
    }
    report.show(&cases)
}

fn invitations(stage: &Stage, signer: &Signer, clients: usize) -> Vec<Invitation> {
    let channel = |number| [format!("user:{number}")];
    (0..clients)
        .map(|number| stage.target().invitation(signer, &channel(number)))
        .collect()
}

fn turn(stage: &mut Stage, invitations: &[Invitation], at_once: usize, case: &mut Case) -> Result {
    let clients = invitations.len();
    let (server, client, start) = (stage.server.total_time()?, own_time(), Instant::now());
    let mut waits = stage.gather(clients, at_once, |number| invitations[number].clone())?;
    let wall = start.elapsed();
    let client = own_time().saturating_sub(client);
    let server = stage.server.total_time()?.saturating_sub(server);
    stage.dismiss_from(0)?;
    waits.sort();
    let each = |duration: Duration| micros(duration) / clients as f64;
    let millis = |share: usize| micros(waits[(clients - 1) * share / 100]) / 1e3;
    let target = stage.target();
    case.sample(target, RATE, clients as f64 / wall.as_secs_f64());
    case.sample(target, HALF, millis(50));
    case.sample(target, MOST, millis(99));
    case.sample(target, CPU, each(server));
    case.sample(target, CLIENT_CPU, each(client));
    Ok(())
}
