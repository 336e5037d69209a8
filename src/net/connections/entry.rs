//! The entry of one connection in the table: what it is doing, and how it is evicted.
//!
//! The connection's own thread sets the state with one atomic exchange, and so does an eviction:
//! either a request that has just begun is answered, or the connection is evicted before it.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::socket::Socket;

/// Bits of the word that hold the state; those above hold microseconds.
const STATE_BITS: u32 = 3;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;

/// What a connection is doing (like `http.ConnState` of Go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum ConnState {
    /// Nothing has been received from it yet.
    New,
    /// It has sent a part of a request.
    Reading,
    /// It has sent a whole request, which is not answered yet.
    Active,
    /// It is between two requests.
    Idle,
    /// It was upgraded, and has not shown a valid token.
    Upgraded,
    /// It was upgraded, and has shown a valid token.
    Subscribed,
    /// It was evicted.
    Evicted,
}

impl ConnState {
    fn of(word: u64) -> ConnState {
        match word & STATE_MASK {
            0 => ConnState::New,
            1 => ConnState::Reading,
            2 => ConnState::Active,
            3 => ConnState::Idle,
            4 => ConnState::Upgraded,
            5 => ConnState::Subscribed,
            _ => ConnState::Evicted,
        }
    }
}

/// In which order connections are evicted, first to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionPriority {
    /// No request of it is under way.
    Idle,
    /// It has sent a part of a request. A good client completes it in a moment; after that it is
    /// no better than one that sends nothing.
    Reading,
}

/// A connection that the server pushes messages to. Each protocol that upgrades connections
/// implements it, so that `net` need not know queues and frames.
pub trait PushConnection: Debug + Send + Sync {
    /// Sends a ping.
    fn ping(&self);

    /// Wakes the connection's thread, which then looks for the shutdown.
    fn wake(&self);

    /// Sends the reason for an eviction, as far as the socket takes it; the socket is cut after.
    fn close_evicted(&self);
}

/// One connection, as other threads see it.
#[derive(Debug)]
pub struct ConnectionEntry {
    opened: Instant,
    socket: Socket,
    /// The state, and the time at which it began, in microseconds after `opened`.
    word: AtomicU64,
    push: OnceLock<Box<dyn PushConnection>>,
}

impl ConnectionEntry {
    /// The entry of a connection that was accepted just now.
    pub fn new(socket: Socket) -> ConnectionEntry {
        ConnectionEntry {
            opened: Instant::now(),
            socket,
            word: AtomicU64::new(ConnState::New as u64),
            push: OnceLock::new(),
        }
    }

    /// Sets the state; false when the connection was evicted before.
    pub fn set(&self, state: ConnState) -> bool {
        let elapsed = self.opened.elapsed().as_micros() as u64;
        let word = elapsed << STATE_BITS | state as u64;
        let previous = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (ConnState::of(now) != ConnState::Evicted).then_some(word)
            });
        previous.is_ok()
    }

    /// Enters what the connection was upgraded to. Only the first call counts.
    pub fn set_push(&self, push: impl PushConnection + 'static) {
        let _ = self.push.set(Box::new(push)); // a connection is upgraded once
    }

    /// What the connection was upgraded to, if it was.
    pub fn push(&self) -> Option<&dyn PushConnection> {
        self.push.get().map(|push| &**push)
    }

    /// The order in which the connection is evicted: by priority, then the one first that has
    /// been in its state for longest. None while it waits for an answer, and after it has shown a
    /// valid token.
    pub fn eviction_order(&self) -> Option<(EvictionPriority, Instant)> {
        let word = self.word.load(Ordering::Acquire);
        let priority = match ConnState::of(word) {
            ConnState::Idle | ConnState::New | ConnState::Upgraded => EvictionPriority::Idle,
            ConnState::Reading => EvictionPriority::Reading,
            ConnState::Active | ConnState::Subscribed | ConnState::Evicted => return None,
        };
        let since = Duration::from_micros(word >> STATE_BITS);
        Some((priority, self.opened + since))
    }

    /// The socket of the connection.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether bytes have arrived that its thread has not read yet.
    pub fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    /// Evicts the connection, unless it has just begun a request; [`ConnectionEntry::cut_evicted`]
    /// has to follow.
    pub fn try_evict(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if self.eviction_order().is_none() || self.has_input() {
            return false;
        }
        let evicted = word & !STATE_MASK | ConnState::Evicted as u64;
        self.word
            .compare_exchange(word, evicted, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Ends an evicted connection; an upgraded one is told why.
    pub fn cut_evicted(&self) {
        if let Some(push) = self.push() {
            push.close_evicted();
        }
        self.socket.cut();
    }

    /// Whether the connection was evicted.
    pub fn is_evicted(&self) -> bool {
        ConnState::of(self.word.load(Ordering::Acquire)) == ConnState::Evicted
    }
}
