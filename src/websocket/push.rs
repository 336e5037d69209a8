//! A WebSocket connection, as the table of connections and its own session share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::frame;
use crate::hub::queue::{Push, SendQueue};
use crate::net::connections::PushConnection;
use crate::protocol::close_frame::CloseFrame;

/// A WebSocket connection in the table of connections; clones share it.
#[derive(Debug, Clone)]
pub struct WebSocketPush {
    queue: SendQueue,
    ping: Arc<UnansweredPing>,
}

/// The first ping that went out after the last bytes had come.
#[derive(Debug)]
struct UnansweredPing {
    opened: Instant,
    /// Microseconds after `opened`; 0 if there is none.
    sent: AtomicU64,
}

impl WebSocketPush {
    /// The connection with this send queue.
    pub fn new(queue: SendQueue) -> WebSocketPush {
        let ping = Arc::new(UnansweredPing {
            opened: Instant::now(),
            sent: AtomicU64::new(0),
        });
        WebSocketPush { queue, ping }
    }

    /// The send queue of the connection.
    pub fn queue(&self) -> &SendQueue {
        &self.queue
    }

    /// Notes that the client has sent something: it is there.
    pub fn note_received(&self) {
        self.ping.sent.store(0, Ordering::Relaxed);
    }

    /// When the first ping went out that nothing has followed, if one did.
    pub fn pinged_at(&self) -> Option<Instant> {
        let sent = self.ping.sent.load(Ordering::Relaxed);
        (sent > 0).then(|| self.ping.opened + Duration::from_micros(sent))
    }

    /// Pings anew: the time for an answer to earlier pings begins now.
    pub fn ping_again(&self) {
        self.note_received();
        self.ping();
    }
}

impl PushConnection for WebSocketPush {
    /// A ping that waits behind other frames has not gone out, and is not counted: until it has,
    /// the limit for a peer that takes nothing is in force.
    fn ping(&self) {
        let elapsed = self.ping.opened.elapsed().as_micros() as u64;
        let pushed = self.queue.push(&frame::PING); // rejected: its session sees why, and ends
        if pushed == Push::Accepted && self.queue.is_empty() {
            let sent = &self.ping.sent;
            let _ = sent.compare_exchange(0, elapsed.max(1), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn wake(&self) {
        self.queue.wake();
    }

    fn close_evicted(&self) {
        self.queue.close(frame::close(CloseFrame::ServerFull));
    }
}
