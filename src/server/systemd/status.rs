//! The thread that reports to the service manager: a status line, and the watchdog.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags};

use super::notify::Notifier;
use super::probe;
use crate::net::poll::wait;
use crate::net::shutdown::Shutdown;
use crate::telemetry::throttle::Throttle;

/// How often the status line may change.
const STATUS_INTERVAL: Duration = Duration::from_secs(3);
/// How many reports fit in the watchdog's time limit, so that a late one is not fatal.
const REPORTS: u32 = 2;
/// A server that did not answer is probed again after this time at the latest.
const RETRY: Duration = Duration::from_secs(1);

static FAILED_PROBES: Throttle = Throttle::new();

/// Reports how the server is until the shutdown. `server` is the address that it listens on;
/// `status` describes it in a line.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    notifier: Notifier,
    server: SocketAddr,
    status: impl Fn() -> String + Send + 'static,
    shutdown: Shutdown,
) -> io::Result<()> {
    if !notifier.is_wanted() {
        return Ok(());
    }
    let mut reporter = Reporter {
        interval: notifier.watchdog().map(|limit| limit / REPORTS),
        notifier,
        server,
        status,
        last_status: String::new(),
    };
    thread::Builder::new()
        .name("systemd".into())
        .spawn(move || reporter.run(&shutdown))
        .map(drop)
}

struct Reporter<S> {
    notifier: Notifier,
    server: SocketAddr,
    status: S,
    /// The last status line that was sent.
    last_status: String,
    /// How often the watchdog gets a report, if there is one.
    interval: Option<Duration>,
}

impl<S: Fn() -> String> Reporter<S> {
    fn run(&mut self, shutdown: &Shutdown) {
        let mut next_status = Instant::now();
        let mut next_probe = self.interval.map(|_| Instant::now());
        while !shutdown.is_triggered() {
            let now = Instant::now();
            if next_status <= now {
                self.send_status();
                next_status = now + STATUS_INTERVAL;
            }
            if let Some(interval) = self.interval
                && next_probe.is_some_and(|due| due <= now)
            {
                next_probe = Some(now + self.probe(interval));
            }
            let due = next_probe.map_or(next_status, |due| due.min(next_status));
            let mut fds = [PollFd::new(shutdown, PollFlags::IN)];
            if wait(&mut fds, Some(due)).is_err() {
                thread::sleep(RETRY); // the wait failed for want of memory
            }
        }
    }

    fn send_status(&mut self) {
        let status = (self.status)();
        if status != self.last_status {
            self.notifier.status(&status);
            self.last_status = status;
        }
    }

    /// Reports to the watchdog if the server answers; returns when to probe it again. The answer may
    /// take half the interval, so that there is a second try.
    fn probe(&self, interval: Duration) -> Duration {
        match probe::ask(self.server, interval / 2) {
            Ok(()) => {
                self.notifier.alive();
                interval
            }
            Err(error) => {
                if let Some(suppressed) = FAILED_PROBES.pass() {
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
