//! The accept loop. It never gives up but for the stop.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags};

use crate::connections::Connections;
use crate::listener::{Holder, Listener};
use crate::log::Throttle;
use crate::reception::Reception;
use crate::socket::{Socket, wait};
use crate::stop::Stop;
use crate::subscribe::Visitor;

/// Pause after a failed accept, so that running out of descriptors does not cost a core.
const BACK_OFF: Duration = Duration::from_millis(10);
/// How often a full server looks whether it should stop.
const FULL_RECHECK: Duration = Duration::from_millis(100);

static FAILURES: Throttle = Throttle::new();

/// Accepts until the stop is raised: whatever fails is logged, and tried again.
pub fn until_stopped(
    listener: &Listener,
    reception: &Reception<Visitor>,
    connections: &Connections,
    stop: &Stop,
) {
    let mut entrance = Entrance {
        listener,
        reception,
        connections,
        stop,
        accepted: 0,
    };
    while !stop.is_raised() {
        // When even the reserve is taken, newcomers wait with the kernel.
        if !connections.wait_for_room(Instant::now() + FULL_RECHECK) {
            continue;
        }
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        let outcome = wait(&mut fds, None).and_then(|_| entrance.admit_waiting());
        if let Err(error) = outcome {
            if let Some(suppressed) = FAILURES.pass() {
                warn!("accept failed error=\"{error}\" suppressed={suppressed}");
            }
            back_off(stop);
        }
    }
    let _ = entrance.admit_waiting(); // those who came before we closed, as far as possible
}

struct Entrance<'a> {
    listener: &'a Listener,
    reception: &'a Reception<Visitor>,
    connections: &'a Connections,
    stop: &'a Stop,
    /// Since the start; the number of a connection in the log.
    accepted: u64,
}

impl Entrance<'_> {
    /// Takes everybody in who waits, as long as there is room.
    fn admit_waiting(&mut self) -> io::Result<()> {
        while self.is_open() && self.connections.wait_for_room(Instant::now()) {
            let (stream, peer) = match self.listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                accepted => accepted?,
            };
            self.accepted += 1;
            let id = self.accepted;
            debug!("connected conn={id} peer={peer}");
            let slot = self.connections.admit();
            self.reception.welcome(Visitor {
                id,
                socket: Socket::new(stream),
                slot,
            })?;
        }
        Ok(())
    }

    /// After the stop, who waits at our own socket would be turned away, and is better taken
    /// in; who waits at one that stays is better served by the process that follows.
    fn is_open(&self) -> bool {
        !self.stop.is_raised() || self.listener.holder() == Holder::Nobody
    }
}

fn back_off(stop: &Stop) {
    let mut fds = [PollFd::new(stop, PollFlags::IN)];
    // It can only fail for want of memory; then going on at once is no worse.
    let _ = wait(&mut fds, Some(Instant::now() + BACK_OFF));
}
