//! What one connection is at, for those who have to know: a full server that looks for
//! somebody to ask to leave, and a stopping one that wakes everybody.
//!
//! A leaf below `connections`. The connection's own thread says what it is at with one
//! atomic exchange; whoever asks it to leave does the same, so either the request that has
//! just begun is answered, or the connection is gone before.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::hub::queue::{Backlog, SendQueue};
use crate::net::socket::Socket;
use crate::websocket::frame;

/// The close code of who has to make room.
pub const SERVER_IS_FULL: u16 = 1013;
/// Bits of the word that hold the standing; those above hold microseconds.
const STANDING_BITS: u32 = 3;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum ConnState {
    /// Nothing has come from it yet.
    Fresh,
    /// A request has begun to come, and is not there whole.
    Arriving,
    /// A request is there, and is not answered.
    AtWork,
    /// Between two requests.
    Idle,
    /// A WebSocket that has not shown a good token.
    Unauthenticated,
    /// A WebSocket that has.
    Subscriber,
    /// It was asked to leave.
    Leaving,
}

/// In which order connections make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionPriority {
    /// It waits for nothing.
    Idle,
    /// It has sent a part of a request. A good client needs a moment for that; a bad one is no
    /// better than one that sends nothing.
    Arriving,
}

/// One connection, seen from outside.
#[derive(Debug)]
pub struct ConnectionEntry {
    opened: Instant,
    socket: Socket,
    /// The standing, and since when it is so, in microseconds after `opened`.
    word: AtomicU64,
    outbox: OnceLock<SendQueue>,
}

impl ConnectionEntry {
    /// A connection that was accepted just now.
    pub fn new(socket: Socket) -> ConnectionEntry {
        ConnectionEntry {
            opened: Instant::now(),
            socket,
            word: AtomicU64::new(ConnState::Fresh as u64),
            outbox: OnceLock::new(),
        }
    }

    /// Says what the connection is at from now on; false when it was asked to leave.
    pub fn set(&self, standing: ConnState) -> bool {
        let elapsed = self.opened.elapsed().as_micros() as u64;
        let word = elapsed << STANDING_BITS | standing as u64;
        let previous = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (Self::standing_in(now) != ConnState::Leaving).then_some(word)
            });
        previous.is_ok()
    }

    /// Gives it what it has become a WebSocket with.
    pub fn set_outbox(&self, outbox: SendQueue) {
        let _ = self.outbox.set(outbox); // it is given once
    }

    /// Whether it may be asked to leave, and how soon: lower ranks first, and in each those who
    /// have been so for longest. Not while it has asked for something whole that is not
    /// answered, nor after it has shown a good token.
    pub fn turn(&self) -> Option<(EvictionPriority, Instant)> {
        let word = self.word.load(Ordering::Acquire);
        let rank = match Self::standing_in(word) {
            ConnState::Idle | ConnState::Fresh | ConnState::Unauthenticated => {
                EvictionPriority::Idle
            }
            ConnState::Arriving => EvictionPriority::Arriving,
            ConnState::AtWork | ConnState::Subscriber | ConnState::Leaving => return None,
        };
        Some((
            rank,
            self.opened + Duration::from_micros(word >> STANDING_BITS),
        ))
    }

    /// Its TCP connection.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether something has come that its thread has not read yet.
    pub fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    /// Asks it to leave, unless it has just begun to ask for something.
    pub fn try_evict(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if self.turn().is_none() || self.has_input() {
            return false;
        }
        let leaving = word & !Self::MASK | ConnState::Leaving as u64;
        self.word
            .compare_exchange(word, leaving, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Ends it, for whoever has dismissed it; a WebSocket is told why.
    pub fn close_evicted(&self) {
        if let Some(outbox) = self.outbox.get() {
            outbox.close(
                frame::close(SERVER_IS_FULL, "Server is full"),
                Backlog::Keep,
            );
        }
        self.socket.cut();
    }

    /// Whether it was asked to leave.
    pub fn is_leaving(&self) -> bool {
        Self::standing_in(self.word.load(Ordering::Acquire)) == ConnState::Leaving
    }

    /// What it has become a WebSocket with, if it has.
    pub fn outbox(&self) -> Option<&SendQueue> {
        self.outbox.get()
    }

    const MASK: u64 = (1 << STANDING_BITS) - 1;

    fn standing_in(word: u64) -> ConnState {
        match word & Self::MASK {
            0 => ConnState::Fresh,
            1 => ConnState::Arriving,
            2 => ConnState::AtWork,
            3 => ConnState::Idle,
            4 => ConnState::Unauthenticated,
            5 => ConnState::Subscriber,
            _ => ConnState::Leaving,
        }
    }
}
