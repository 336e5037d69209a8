//! Pings every upgraded connection in its turn (RFC 6455 §5.5.2).
//!
//! One thread pings all of them: waking each connection's own thread for its ping would cost more
//! than the write. All have the same interval, so a pinged connection goes to the back of one
//! queue, and only the front has to be looked at. The connection's own thread notices that the
//! peer is silent.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};

use crate::net::connections::Connections;
use crate::net::poll::wait;
use crate::net::shutdown::Shutdown;

/// A ping may be late by this time, so that it goes out with others: waking the thread costs as
/// much as some pings.
const MAX_DELAY: Duration = Duration::from_millis(50);
/// For short intervals, a ping may be late by this part of one.
const MAX_DELAY_PART: u32 = 10;
/// How often a heartbeat that was replaced looks whether it has no connection left.
const UNUSED_CHECK: Duration = Duration::from_secs(30);

/// A handle on the queue of pings; clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards the pings to come, the next one at the front. Nothing under it waits.
    pings: Mutex<VecDeque<NextPing>>,
    /// The connections that are still open.
    connections: Connections,
    interval: Duration,
}

/// The next ping of one connection.
#[derive(Debug, Clone, Copy)]
struct NextPing {
    due: Instant,
    /// The number of the connection. No handle: an ended connection keeps nothing until its turn.
    id: u64,
}

impl Heartbeat {
    /// Starts the thread that pings. It ends at the shutdown, or when no handle is left and all its
    /// connections have ended.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        interval: Duration,
        connections: Connections,
        shutdown: Shutdown,
    ) -> io::Result<Heartbeat> {
        let heartbeat = Heartbeat(Arc::new(Shared {
            pings: Mutex::default(),
            connections,
            interval,
        }));
        let handle = heartbeat.clone();
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || handle.run(&shutdown))?;
        Ok(heartbeat)
    }

    /// How often each connection is pinged.
    pub fn interval(&self) -> Duration {
        self.0.interval
    }

    /// Pings a connection from now on, for the first time after one interval.
    pub fn add(&self, id: u64) {
        self.queue(Instant::now() + self.0.interval, id);
    }

    fn queue(&self, due: Instant, id: u64) {
        self.0.pings.lock().push_back(NextPing { due, id });
    }

    fn run(&self, shutdown: &Shutdown) {
        let mut next = Instant::now() + self.0.interval;
        loop {
            let mut fds = [PollFd::new(shutdown, PollFlags::IN)];
            // The wait can only fail for want of memory; going on is no worse then.
            let _ = wait(&mut fds, Some(next.min(Instant::now() + UNUSED_CHECK)));
            if shutdown.is_triggered() || self.is_unused() {
                return;
            }
            if next <= Instant::now() {
                next = self.ping_due();
            }
        }
    }

    /// Whether there is no connection to ping, and no handle left to add one but the thread's own.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.pings.lock().is_empty()
    }

    /// Pings every connection whose ping is due; returns when to look again.
    fn ping_due(&self) -> Instant {
        let interval = self.0.interval;
        let now = Instant::now();
        // The lock is released before each write, so that new connections need not wait for it.
        while let Some(ping) = self.take_due(now) {
            let entry = self.0.connections.find(ping.id);
            if let Some(push) = entry.as_ref().and_then(|entry| entry.push()) {
                push.ping();
                self.queue((ping.due + interval).max(now), ping.id);
            }
        }
        // A connection that is added to an empty queue is not due before one interval.
        let due = self.0.pings.lock().front().map(|ping| ping.due);
        due.unwrap_or(now + interval) + MAX_DELAY.min(interval / MAX_DELAY_PART)
    }

    fn take_due(&self, now: Instant) -> Option<NextPing> {
        let mut pings = self.0.pings.lock();
        pings.front().filter(|ping| ping.due <= now)?;
        pings.pop_front()
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
        wait_until(|| heartbeat.0.pings.lock().is_empty());
        shutdown.trigger();
    }

    #[test]
    fn a_replaced_heartbeat_goes_on_and_ends_with_its_connections() {
        let (shutdown, connections) = (Shutdown::new().unwrap(), Connections::new(9));
        let heartbeat = Heartbeat::start(INTERVAL, connections.clone(), shutdown).unwrap();
        let (permit, mut peer) = upgraded(&connections);
        heartbeat.add(permit.id());
        let shared = Arc::downgrade(&heartbeat.0);
        drop(heartbeat);
        expect_pings(&mut peer);
        assert!(shared.strong_count() > 0);
        drop(permit);
        wait_until(|| shared.strong_count() == 0);
    }
}
