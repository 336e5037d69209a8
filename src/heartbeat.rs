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

use crate::frame;
use crate::outbox::{Outbox, WeakOutbox};
use crate::socket::wait;
use crate::stop::Stop;

/// A ping may go out earlier by so much, together with others: each time that the thread
/// wakes costs as much as some pings.
const GRAIN: Duration = Duration::from_millis(50);
/// The same for short intervals: this part of one.
const GRAIN_PART: u32 = 10;

/// A handle on the queue; clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Guards who is pinged when, the next one at the front. Nothing under it waits.
    beats: Mutex<VecDeque<Beat>>,
    interval: Duration,
}

#[derive(Debug)]
struct Beat {
    due: Instant,
    /// Weak, so that a connection ends when it does, not at its next ping.
    outbox: WeakOutbox,
}

impl Heartbeat {
    /// Starts the thread that pings, until the stop is raised.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(interval: Duration, stop: Stop) -> io::Result<Heartbeat> {
        let heartbeat = Heartbeat(Arc::new(Shared {
            beats: Mutex::default(),
            interval,
        }));
        let handle = heartbeat.clone();
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || handle.beat(&stop))?;
        Ok(heartbeat)
    }

    /// Pings a subscriber from now on, for the first time after one interval.
    pub fn enlist(&self, outbox: &Outbox) {
        // Under the lock, so that the queue stays in order.
        let mut beats = self.0.beats.lock();
        beats.push_back(Beat {
            due: Instant::now() + self.0.interval,
            outbox: outbox.downgrade(),
        });
    }

    fn beat(&self, stop: &Stop) {
        let ping = frame::ping();
        let mut next = Instant::now() + self.0.interval;
        loop {
            let mut fds = [PollFd::new(stop, PollFlags::IN)];
            // It can only fail for want of memory; then going on is as good as anything.
            let _ = wait(&mut fds, Some(next));
            if stop.is_raised() {
                return;
            }
            next = self.ping_due(&ping);
        }
    }

    /// Pings everybody whose turn it is; tells when the next turn comes.
    fn ping_due(&self, ping: &Bytes) -> Instant {
        let interval = self.0.interval;
        let horizon = Instant::now() + GRAIN.min(interval / GRAIN_PART);
        loop {
            // Let go before each write: whoever comes in is not kept waiting.
            let outbox = match self.take_due(horizon) {
                Ok(outbox) => outbox,
                Err(next) => return next,
            };
            if let Some(outbox) = outbox.upgrade() {
                let _ = outbox.push(ping); // refused: its session sees why, and ends
                self.enlist(&outbox);
            }
        }
    }

    /// The front of the queue if its turn has come, or else when it will. Nobody who comes
    /// while the queue is empty is due before one interval has passed.
    fn take_due(&self, horizon: Instant) -> Result<WeakOutbox, Instant> {
        let mut beats = self.0.beats.lock();
        match beats.front().map(|beat| beat.due) {
            Some(due) if due > horizon => Err(due),
            None => Err(Instant::now() + self.0.interval),
            Some(_) => match beats.pop_front() {
                Some(beat) => Ok(beat.outbox),
                None => Err(horizon), // can't be: it was looked at two lines above
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (Outbox, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let outbox = Outbox::new(Socket::new(stream), 1 << 20).unwrap();
        (outbox, peer)
    }

    #[test]
    fn everybody_is_pinged_again_and_again() {
        let stop = Stop::new().unwrap();
        let heartbeat = Heartbeat::start(Duration::from_millis(20), stop.clone()).unwrap();
        let mut pairs: Vec<_> = (0..3).map(|_| pair()).collect();
        for (outbox, _) in &pairs {
            heartbeat.enlist(outbox);
        }
        for (_, peer) in &mut pairs {
            let mut pings = [0; 6];
            peer.read_exact(&mut pings).unwrap();
            assert_eq!(pings, *b"\x89\0\x89\0\x89\0");
        }
        stop.raise();
    }

    #[test]
    fn who_has_left_is_not_held_and_forgotten_in_its_turn() {
        let stop = Stop::new().unwrap();
        let heartbeat = Heartbeat::start(Duration::from_millis(20), stop.clone()).unwrap();
        let (outbox, mut peer) = pair();
        heartbeat.enlist(&outbox);
        drop(outbox);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        while !heartbeat.0.beats.lock().is_empty() {
            thread::yield_now();
        }
        stop.raise();
    }
}
