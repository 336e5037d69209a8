//! Many reloads leave nothing behind.

use crate::support::eventually;
use crate::support::process::Launch;
use crate::support::reloadable_server::ReloadableServer;
use crate::tools::proc_stats::ProcStats;

#[test]
fn many_reloads_of_the_ping_interval_leave_no_thread() {
    const RELOADS: usize = 200;
    let mut server = ReloadableServer::start(Launch::serve());
    let before = ProcStats::of(&server);
    let mut subscribers = Vec::new();
    for number in 0..RELOADS {
        let interval = format!("BIFROST_PING_INTERVAL={}s", 1_000 + number);
        server.reload_with(&interval);
        subscribers.push(server.raw_subscriber(&["a"]));
    }
    let now = eventually("the worker threads of the handshakes have ended", || {
        let now = ProcStats::of(&server);
        (now.threads <= before.threads + RELOADS).then_some(now)
    });
    // A connection and the waker of its queue.
    assert_eq!(now.descriptors, before.descriptors + 2 * RELOADS);
    drop(subscribers);
    server.wait_connected(0);
    assert_eq!(server.broadcast("a", "{}"), 0);
}
