//! A server that stands still, as in a paused machine, and goes on: it cuts no subscriber for the
//! silence that it has made itself.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::server::Server;
use crate::tools::publisher::Publisher;
use crate::tools::swarm::Swarm;

#[test]
fn frozen_server_cuts_no_subscriber() {
    const COUNT: u64 = 500;
    const INTERVAL: Duration = Duration::from_secs(1);
    const FREEZES: u64 = 2;
    let server = Server::with(&[("BIFROST_PING_INTERVAL", "1s")]);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let mut swarm = Swarm::connect(&server, COUNT as usize, "a");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..FREEZES {
                thread::sleep(INTERVAL * 2); // some pings are answered before
                server.signal(Signal::STOP);
                thread::sleep(INTERVAL * 5);
                server.signal(Signal::CONT);
                publisher.post(COUNT);
                thread::sleep(INTERVAL * 4); // silence would be noticed by now
                publisher.post(COUNT);
            }
        });
        // The subscribers answer pings all the time.
        swarm.read_until("all messages have arrived", |client| {
            client.received[0] == 2 * FREEZES
        });
    });
    assert!(swarm.clients().iter().all(|client| !client.has_ended));
}
