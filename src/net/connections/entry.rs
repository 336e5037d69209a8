//! One connection, as other threads see it.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::order::ConnState;
use crate::net::socket::Socket;

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
    socket: Socket,
    is_evicted: AtomicBool,
    push: OnceLock<Box<dyn PushConnection>>,
}

impl ConnectionEntry {
    /// The entry of a connection that was accepted just now.
    pub fn new(socket: Socket) -> ConnectionEntry {
        ConnectionEntry {
            socket,
            is_evicted: AtomicBool::new(false),
            push: OnceLock::new(),
        }
    }

    /// Enters what the connection was upgraded to. Only the first call counts.
    pub fn set_push(&self, push: impl PushConnection + 'static) {
        let _ = self.push.set(Box::new(push)); // a connection is upgraded once
    }

    /// What the connection was upgraded to, if it was.
    pub fn push(&self) -> Option<&dyn PushConnection> {
        self.push.get().map(|push| &**push)
    }

    /// Whether bytes have arrived that its thread has not read yet.
    pub fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    /// Says that the connection was evicted; [`ConnectionEntry::cut_evicted`] has to follow.
    pub fn mark_evicted(&self, state: ConnState) {
        if matches!(state, ConnState::Reading | ConnState::Sending) {
            self.socket.reset_on_close(); // its peer may be in the middle of a body
        }
        self.is_evicted.store(true, Ordering::Release);
    }

    /// Whether the connection was evicted.
    pub fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Acquire)
    }

    /// Ends an evicted connection; an upgraded one is told why.
    pub fn cut_evicted(&self) {
        if let Some(push) = self.push() {
            push.close_evicted();
        }
        self.socket.cut();
    }
}
