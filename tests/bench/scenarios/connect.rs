//! Connect: thousands of clients connect at once, as after a restart.

use std::time::{Duration, Instant};

use super::{both, micros, own_cpu, run_rounds};
use crate::Result;
use crate::client::swarm::Handshake;
use crate::client::testbed::Testbed;
use crate::options::Options;
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
/// From a total in steps of 10 ms, which includes the threads that end meanwhile.
const CPU: Metric = Metric::new("server CPU per connection", "µs");
const CLIENT_CPU: Metric = Metric::new("client CPU per connection", "µs");

/// Measures with each number of connections at a time.
///
/// # Errors
/// When a client can't connect or subscribe.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let clients = options.full_or_quick(CLIENTS, QUICK_CLIENTS);
    let clients = options.subscribers.unwrap_or(clients);
    let signer = Signer::new();
    let mut cases = Vec::new();
    for at_once in AT_ONCE {
        let label = format!("{clients} clients, {at_once} at a time");
        eprintln!("{NAME}: {label}");
        let mut case = Case::new(NAME, label);
        let testbeds = both(options)?.into_iter();
        let mut entries: Vec<_> = testbeds
            .map(|testbed| (handshakes(&testbed, &signer, clients), testbed))
            .collect();
        run_rounds(
            options.rounds,
            &mut entries,
            |(_, testbed)| testbed,
            |(handshakes, testbed)| measure(testbed, handshakes, at_once, &mut case),
        )?;
        case.expect(RATE, Goal::RatioAtLeast(0.3));
        cases.push(case);
    }
    report.show(&cases)
}

fn handshakes(testbed: &Testbed, signer: &Signer, clients: usize) -> Vec<Handshake> {
    let channel = |number| [format!("user:{number}")];
    (0..clients)
        .map(|number| testbed.target().handshake(signer, &channel(number)))
        .collect()
}

fn measure(
    testbed: &mut Testbed,
    handshakes: &[Handshake],
    at_once: usize,
    case: &mut Case,
) -> Result {
    let clients = handshakes.len();
    let (server, client, start) = (testbed.server.total_cpu()?, own_cpu(), Instant::now());
    let mut times =
        testbed.connect_subscribers(clients, at_once, |number| handshakes[number].clone())?;
    let wall = start.elapsed();
    let client = own_cpu().saturating_sub(client);
    let server = testbed.server.total_cpu()?.saturating_sub(server);
    testbed.close_from(0)?;
    times.sort();
    let each = |duration: Duration| micros(duration) / clients as f64;
    let millis = |share: usize| micros(times[(clients - 1) * share / 100]) / 1e3;
    let target = testbed.target();
    case.sample(target, RATE, clients as f64 / wall.as_secs_f64());
    case.sample(target, HALF, millis(50));
    case.sample(target, MOST, millis(99));
    case.sample(target, CPU, each(server));
    case.sample(target, CLIENT_CPU, each(client));
    Ok(())
}
