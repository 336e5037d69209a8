//! What an idle subscriber takes: a thread, two descriptors, little memory.

use std::thread;
use std::time::Duration;

use crate::support::eventually;
use crate::support::server::Server;
use crate::tools::proc_stats::ProcStats;
use crate::tools::swarm::Swarm;

const COUNT: usize = 2_000;
/// The most resident memory of one, in KiB. It takes 12 to 13; an unneeded buffer would take 4.
const MAX_EACH: usize = 16;

#[test]
fn idle_subscriber_takes_one_thread_two_descriptors_and_little_memory() {
    let server = Server::start();
    let before = ProcStats::of(&server);
    let swarm = Swarm::connect(&server, COUNT, "a");
    let now = eventually("the worker threads of the handshakes have ended", || {
        let now = ProcStats::of(&server);
        thread::sleep(Duration::from_millis(50));
        (now.threads <= before.threads + COUNT).then_some(now)
    });
    assert_eq!(now.threads, before.threads + COUNT);
    assert_eq!(now.descriptors, before.descriptors + 2 * COUNT);
    let each = now.memory.saturating_sub(before.memory) as f64 / COUNT as f64;
    assert!(each <= MAX_EACH as f64, "{each:.1} KiB each");
    drop(swarm);
}
