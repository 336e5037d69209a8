//! The accept loop. It never gives up but for the stop.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags};

use crate::api::subscribe::Visitor;
use crate::net::connections::Connections;
use crate::net::connections::ip_limit::PerIpLimit;
use crate::net::listener::{Holder, Listener};
use crate::net::shutdown::Shutdown;
use crate::net::socket::{Socket, Wait, wait};
use crate::net::worker_pool::WorkerPool;
use crate::telemetry::counters;
use crate::telemetry::log::Throttle;

/// Pause after a failed accept, so that running out of descriptors does not cost a core.
const BACK_OFF: Duration = Duration::from_millis(10);
/// How often a full server looks whether it should stop.
const FULL_RECHECK: Duration = Duration::from_millis(100);

static FAILURES: Throttle = Throttle::new();

/// Accepts until the stop is raised: whatever fails is logged, and tried again. `addresses`
/// gives the rules of the moment.
pub fn until_stopped(
    listener: &Listener,
    reception: &WorkerPool<Visitor>,
    connections: &Connections,
    addresses: impl Fn() -> PerIpLimit,
    stop: &Shutdown,
) {
    let entrance = Entrance {
        listener,
        reception,
        connections,
        addresses: &addresses,
        stop,
    };
    while !stop.is_triggered() {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        let outcome = wait(&mut fds, None).and_then(|_| entrance.admit_waiting());
        match outcome {
            Ok(Entry::Free) => {}
            // When even the reserve is taken, newcomers wait with the kernel.
            Ok(Entry::Full) => {
                connections.wait_until_can_accept(Instant::now() + FULL_RECHECK);
            }
            Err(error) => {
                counters::ACCEPT_FAILURES.add_one();
                if let Some(suppressed) = FAILURES.pass() {
                    warn!("accept failed error=\"{error}\" suppressed={suppressed}");
                }
                back_off(stop);
            }
        }
    }
    let _ = entrance.admit_waiting(); // those who came before we closed, as far as possible
}

struct Entrance<'a> {
    listener: &'a Listener,
    reception: &'a WorkerPool<Visitor>,
    connections: &'a Connections,
    addresses: &'a dyn Fn() -> PerIpLimit,
    stop: &'a Shutdown,
}

/// How it looks at the door when nobody more was let in.
enum Entry {
    /// Nobody waits.
    Free,
    /// Somebody waits, and there is no place.
    Full,
}

impl Entrance<'_> {
    /// Takes everybody in who waits, as long as there is a place.
    fn admit_waiting(&self) -> io::Result<Entry> {
        loop {
            if !self.is_open() {
                return Ok(Entry::Free);
            }
            if !self.connections.can_accept() {
                let mut fds = [PollFd::new(self.listener, PollFlags::IN)];
                if wait(&mut fds, Some(Instant::now()))? == Wait::TimedOut {
                    return Ok(Entry::Free);
                }
                if !self.connections.evict_for_accept() {
                    return Ok(Entry::Full);
                }
            }
            let (stream, peer) = match self.listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Entry::Free),
                accepted => accepted?,
            };
            let socket = Socket::new(stream);
            let slot = self.connections.admit(socket.clone());
            debug!("connected conn={} peer={peer}", slot.id());
            let peer = peer.ip();
            self.reception.execute(Visitor {
                socket,
                slot,
                peer,
                stay: (self.addresses)().enter(peer),
            })?;
        }
    }

    /// After the stop, who waits at our own socket would be turned away, and is better taken
    /// in; who waits at one that stays is better served by the process that follows.
    fn is_open(&self) -> bool {
        !self.stop.is_triggered() || self.listener.holder() == Holder::Nobody
    }
}

fn back_off(stop: &Shutdown) {
    let mut fds = [PollFd::new(stop, PollFlags::IN)];
    // It can only fail for want of memory; then going on at once is no worse.
    let _ = wait(&mut fds, Some(Instant::now() + BACK_OFF));
}
