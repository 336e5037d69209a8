//! The thread that keeps the service manager informed: live counts, and the watchdog.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags};

use super::notify::Notifier;
use super::probe;
use crate::net::shutdown::Shutdown;
use crate::net::socket::wait;
use crate::telemetry::log::Throttle;

/// How often the status may change.
const STATUS_INTERVAL: Duration = Duration::from_secs(3);
/// Feedings within the time that the watchdog puts up with; a late one must not be fatal.
const FEEDINGS: u32 = 2;
/// How soon a server that did not answer is asked again, at the latest.
const RETRY: Duration = Duration::from_secs(1);

static SILENCES: Throttle = Throttle::new();

/// Says that the server is ready, and from then on how it is, until the stop is raised.
/// `server` is where it listens; `status` describes it in a line.
///
/// # Errors
/// When no thread can be had.
pub fn start(
    notifier: Notifier,
    server: SocketAddr,
    status: impl Fn() -> String + Send + 'static,
    stop: Shutdown,
) -> io::Result<()> {
    if !notifier.is_heard() {
        return Ok(());
    }
    let mut pulse = Pulse {
        feeding: notifier.watchdog().map(|limit| limit / FEEDINGS),
        notifier,
        server,
        status,
        last_status: String::new(),
    };
    pulse.notifier.ready();
    thread::Builder::new()
        .name("systemd".into())
        .spawn(move || pulse.beat_until(&stop))
        .map(drop)
}

struct Pulse<S> {
    notifier: Notifier,
    server: SocketAddr,
    status: S,
    /// What the manager was told last.
    last_status: String,
    /// How often the watchdog is fed.
    feeding: Option<Duration>,
}

impl<S: Fn() -> String> Pulse<S> {
    fn beat_until(&mut self, stop: &Shutdown) {
        let mut next_status = Instant::now();
        let mut next_feeding = self.feeding.map(|_| Instant::now());
        while !stop.is_triggered() {
            let now = Instant::now();
            if next_status <= now {
                self.tell_status();
                next_status = now + STATUS_INTERVAL;
            }
            if let Some(interval) = self.feeding
                && next_feeding.is_some_and(|due| due <= now)
            {
                next_feeding = Some(now + self.feed(interval));
            }
            let due = next_feeding.map_or(next_status, |due| due.min(next_status));
            let mut fds = [PollFd::new(stop, PollFlags::IN)];
            if wait(&mut fds, Some(due)).is_err() {
                thread::sleep(RETRY); // the kernel lacks memory
            }
        }
    }

    fn tell_status(&mut self) {
        let status = (self.status)();
        if status != self.last_status {
            self.notifier.status(&status);
            self.last_status = status;
        }
    }

    /// Feeds the watchdog if the server answers; says when it is to be asked again. The
    /// answer may take half the time until the next feeding, so that there is a second try.
    fn feed(&self, interval: Duration) -> Duration {
        match probe::ask(self.server, interval / 2) {
            Ok(()) => {
                self.notifier.alive();
                interval
            }
            Err(error) => {
                if let Some(suppressed) = SILENCES.pass() {
                    let server = self.server;
                    warn!(
                        "watchdog not fed: no answer to /healthz addr={server} \
                         error=\"{error}\" suppressed={suppressed}"
                    );
                }
                RETRY.min(interval / 4)
            }
        }
    }
}
