//! Pings every upgraded connection in its turn (RFC 6455 §5.5.2).
//!
//! One thread pings all of them: waking each connection's own thread for its ping would cost more
//! than the write. A connection keeps the interval with which it was added, so a reload that
//! changes the interval needs no other thread. The connection's own thread notices that the peer is
//! silent; how many were is logged here, in one line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};

use crate::net::connections::Connections;
use crate::net::poll::wait;
use crate::net::shutdown::Shutdown;
use crate::net::waker::Waker;
use crate::telemetry::counters;

/// A ping may be late by this time, so that it goes out with others: waking the thread costs as
/// much as some pings.
const MAX_DELAY: Duration = Duration::from_millis(50);
/// For short intervals, a ping may be late by this part of one.
const MAX_DELAY_PART: u32 = 10;
/// How often subscribers that were cut for silence are logged, if there are any.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// A handle on the pings to come, for connections with one interval; clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    shared: Arc<Shared>,
    interval: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Guards the pings to come, the next one on top. Nothing under it waits.
    pings: Mutex<BinaryHeap<Reverse<NextPing>>>,
    /// Wakes the thread for a ping that is due before all others.
    waker: Waker,
    /// The connections that are still open.
    connections: Connections,
}

/// The next ping of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NextPing {
    due: Instant,
    /// The number of the connection. No handle: an ended connection keeps nothing until its turn.
    id: u64,
    interval: Duration,
}

impl Heartbeat {
    /// Starts the thread that pings, until the shutdown.
    ///
    /// # Errors
    /// When no thread can be started, or descriptors have run out.
    pub fn start(
        interval: Duration,
        connections: Connections,
        shutdown: Shutdown,
    ) -> io::Result<Heartbeat> {
        let shared = Arc::new(Shared {
            pings: Mutex::default(),
            waker: Waker::new()?,
            connections,
        });
        let running = shared.clone();
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || running.run(&shutdown))?;
        Ok(Heartbeat { shared, interval })
    }

    /// The same heartbeat for connections with another interval.
    #[must_use]
    pub fn with_interval(&self, interval: Duration) -> Heartbeat {
        Heartbeat {
            shared: self.shared.clone(),
            interval,
        }
    }

    /// Pings a connection from now on, for the first time after one interval.
    pub fn add(&self, id: u64) {
        let next = NextPing {
            due: Instant::now() + self.interval,
            id,
            interval: self.interval,
        };
        if self.shared.push(next) {
            self.shared.waker.wake();
        }
    }
}

impl Shared {
    /// Adds a ping; returns whether it is due before all others.
    fn push(&self, next: NextPing) -> bool {
        let mut pings = self.pings.lock();
        pings.push(Reverse(next));
        pings.peek() == Some(&Reverse(next))
    }

    fn run(&self, shutdown: &Shutdown) {
        let mut log_at = Instant::now() + LOG_INTERVAL;
        let mut logged = counters::SILENT_SUBSCRIBERS_CUT.total();
        while !shutdown.is_triggered() {
            let next = self.ping_due();
            let mut fds = [
                PollFd::new(shutdown, PollFlags::IN),
                PollFd::new(&self.waker, PollFlags::IN),
            ];
            // The wait can only fail for want of memory; going on is no worse then.
            let _ = wait(&mut fds, Some(next.map_or(log_at, |next| next.min(log_at))));
            self.waker.clear();
            if log_at <= Instant::now() {
                log_at = Instant::now() + LOG_INTERVAL;
                log_silent(&mut logged);
            }
        }
    }

    /// Pings every connection whose ping is due; returns when to look again, if any is left.
    fn ping_due(&self) -> Option<Instant> {
        let now = Instant::now();
        // The lock is released before each write, so that new connections need not wait for it.
        while let Some(ping) = self.take_due(now) {
            let entry = self.connections.find(ping.id);
            if let Some(push) = entry.as_ref().and_then(|entry| entry.push()) {
                push.ping();
                let regular = ping.due + ping.interval;
                let late = now + ping.interval;
                let due = if regular > now { regular } else { late };
                self.push(NextPing { due, ..ping });
            }
        }
        let pings = self.pings.lock();
        let Reverse(next) = pings.peek()?;
        Some(next.due + MAX_DELAY.min(next.interval / MAX_DELAY_PART))
    }

    fn take_due(&self, now: Instant) -> Option<NextPing> {
        let mut pings = self.pings.lock();
        pings.peek().filter(|Reverse(ping)| ping.due <= now)?;
        let ping = pings.pop().map(|Reverse(ping)| ping);
        if pings.is_empty() {
            *pings = BinaryHeap::new(); // gives its buffer back
        }
        ping
    }
}

/// Logs how many subscribers were cut for silence since the last time.
fn log_silent(logged: &mut u64) {
    let total = counters::SILENT_SUBSCRIBERS_CUT.total();
    let count = total - std::mem::replace(logged, total);
    if count > 0 {
        warn!("silent subscribers cut count={count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::queue::{QueueBudget, SendQueue};
    use crate::net::connections::ConnectionPermit;
    use crate::net::socket::Socket;
    use crate::websocket::frame;
    use crate::websocket::push::WebSocketPush;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    const LIMIT: Duration = Duration::from_secs(20);
    const INTERVAL: Duration = Duration::from_millis(20);

    /// An upgraded connection and its peer.
    fn upgraded(connections: &Connections) -> (ConnectionPermit, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        let socket = Socket::new(stream);
        let budget = QueueBudget::new(1 << 20);
        let queue = SendQueue::new(socket.clone(), 1 << 20, budget, frame::TOO_SLOW).unwrap();
        let mut permit = connections.register(socket);
        permit.upgrade(WebSocketPush::new(queue));
        (permit, peer)
    }

    fn expect_pings(peer: &mut TcpStream) {
        let mut pings = [0; 6];
        peer.read_exact(&mut pings).unwrap();
        assert_eq!(pings, *b"\x89\0\x89\0\x89\0");
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "it does not become so");
            thread::yield_now();
        }
    }

    #[test]
    fn every_connection_is_pinged_until_it_ends() {
        let (shutdown, connections) = (Shutdown::new().unwrap(), Connections::new(9));
        let heartbeat = Heartbeat::start(INTERVAL, connections.clone(), shutdown.clone()).unwrap();
        let mut all: Vec<_> = (0..3).map(|_| upgraded(&connections)).collect();
        for (permit, _) in &all {
            heartbeat.add(permit.id());
        }
        for (_, peer) in &mut all {
            expect_pings(peer);
        }
        drop(all);
        wait_until(|| heartbeat.shared.pings.lock().is_empty());
        shutdown.trigger();
    }

    #[test]
    fn one_thread_pings_connections_with_different_intervals() {
        let (shutdown, connections) = (Shutdown::new().unwrap(), Connections::new(9));
        let hour = Duration::from_secs(3600);
        let slow = Heartbeat::start(hour, connections.clone(), shutdown.clone()).unwrap();
        let (silent, _peer) = upgraded(&connections);
        slow.add(silent.id());
        let (permit, mut peer) = upgraded(&connections);
        slow.with_interval(INTERVAL).add(permit.id()); // due first: the thread is woken
        expect_pings(&mut peer);
        wait_until(|| slow.shared.pings.lock().len() == 2);
        drop(permit);
        wait_until(|| slow.shared.pings.lock().len() == 1);
        shutdown.trigger();
    }
}
