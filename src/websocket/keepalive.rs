//! Pings every subscriber in its turn (RFC 6455 §5.5.2).
//!
//! One thread for all of them: a subscriber's own thread would have to be woken for each
//! ping and again for its answer, and waking costs more than the write. Everybody has the
//! same interval, so whoever was pinged goes to the back of one queue, and only its front
//! has to be looked at. That a peer is silent is noticed by the subscriber's own thread.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use tungstenite::Bytes;

use crate::net::connections::Connections;
use crate::net::shutdown::Shutdown;
use crate::net::socket::wait;
use crate::websocket::frame;

/// A ping may go out later by so much, together with others: each time that the thread wakes
/// costs as much as some pings.
const GRAIN: Duration = Duration::from_millis(50);
/// The same for short intervals: this part of one.
const GRAIN_PART: u32 = 10;
/// How often a heartbeat looks whether it was replaced and has nobody left.
const FORGOTTEN_CHECK: Duration = Duration::from_secs(30);

/// A handle on the queue; clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards who is pinged when, the next one at the front. Nothing under it waits.
    beats: Mutex<VecDeque<Beat>>,
    /// Knows who of them is still here.
    connections: Connections,
    interval: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    due: Instant,
    /// Only the number of the connection: nothing of it stays until its next turn.
    id: u64,
}

impl Heartbeat {
    /// Starts the thread that pings, until the stop is raised, or no handle is left and all
    /// have gone whom it pings.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        interval: Duration,
        connections: Connections,
        stop: Shutdown,
    ) -> io::Result<Heartbeat> {
        let heartbeat = Heartbeat(Arc::new(Shared {
            beats: Mutex::default(),
            connections,
            interval,
        }));
        let handle = heartbeat.clone();
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || handle.beat(&stop))?;
        Ok(heartbeat)
    }

    /// How often each is pinged.
    pub fn interval(&self) -> Duration {
        self.0.interval
    }

    /// Pings a WebSocket connection from now on, for the first time after one interval.
    pub fn enlist(&self, id: u64) {
        self.queue(Instant::now() + self.0.interval, id);
    }

    fn queue(&self, due: Instant, id: u64) {
        self.0.beats.lock().push_back(Beat { due, id });
    }

    fn beat(&self, stop: &Shutdown) {
        let ping = frame::ping();
        let mut next = Instant::now() + self.0.interval;
        loop {
            let mut fds = [PollFd::new(stop, PollFlags::IN)];
            // It can only fail for want of memory; then going on is as good as anything.
            let _ = wait(&mut fds, Some(next.min(Instant::now() + FORGOTTEN_CHECK)));
            if stop.is_triggered() || self.is_forgotten() {
                return;
            }
            if next <= Instant::now() {
                next = self.ping_due(&ping);
            }
        }
    }

    /// Whether nobody is pinged, and nobody can come: no handle is left but the thread's own.
    fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.beats.lock().is_empty()
    }

    /// Pings everybody whose turn has come; tells when to look again.
    fn ping_due(&self, ping: &Bytes) -> Instant {
        let interval = self.0.interval;
        let now = Instant::now();
        // Let go before each write: whoever comes in is not kept waiting.
        while let Some(beat) = self.take_due(now) {
            if let Some(outbox) = self.0.connections.outbox(beat.id) {
                let _ = outbox.push(ping); // refused: its session sees why, and ends
                self.queue((beat.due + interval).max(now), beat.id);
            }
        }
        // Nobody who comes while the queue is empty is due before one interval has passed.
        let due = self.0.beats.lock().front().map(|beat| beat.due);
        due.unwrap_or(now + interval) + GRAIN.min(interval / GRAIN_PART)
    }

    fn take_due(&self, now: Instant) -> Option<Beat> {
        let mut beats = self.0.beats.lock();
        beats.front().filter(|beat| beat.due <= now)?;
        beats.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::queue::{QueueBudget, SendQueue};
    use crate::net::connections::ConnectionPermit;
    use crate::net::socket::Socket;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    fn subscriber(connections: &Connections) -> (ConnectionPermit, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let socket = Socket::new(stream);
        let outbox = SendQueue::new(socket.clone(), 1 << 20, QueueBudget::new(1 << 20)).unwrap();
        let slot = connections.admit(socket).of_subscriber(outbox);
        (slot, peer)
    }

    #[test]
    fn everybody_is_pinged_again_and_again_until_they_leave() {
        let (stop, connections) = (Shutdown::new().unwrap(), Connections::new(9));
        let interval = Duration::from_millis(20);
        let heartbeat = Heartbeat::start(interval, connections.clone(), stop.clone()).unwrap();
        let mut all: Vec<_> = (0..3).map(|_| subscriber(&connections)).collect();
        for (slot, _) in &all {
            heartbeat.enlist(slot.id());
        }
        for (_, peer) in &mut all {
            let mut pings = [0; 6];
            peer.read_exact(&mut pings).unwrap();
            assert_eq!(pings, *b"\x89\0\x89\0\x89\0");
        }
        drop(all);
        while !heartbeat.0.beats.lock().is_empty() {
            thread::yield_now();
        }
        stop.trigger();
    }

    #[test]
    fn one_that_is_replaced_goes_on_for_those_it_has_and_ends_with_them() {
        let (stop, connections) = (Shutdown::new().unwrap(), Connections::new(9));
        let interval = Duration::from_millis(20);
        let heartbeat = Heartbeat::start(interval, connections.clone(), stop).unwrap();
        let (slot, mut peer) = subscriber(&connections);
        heartbeat.enlist(slot.id());
        let shared = Arc::downgrade(&heartbeat.0);
        drop(heartbeat);
        let mut pings = [0; 6];
        peer.read_exact(&mut pings).unwrap();
        assert!(shared.strong_count() > 0);
        drop(slot);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
