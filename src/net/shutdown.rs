//! The wish to shut down: raised once, seen by every thread that waits.
//!
//! A leaf. The server takes it from outside, so that a test can raise it as well as
//! a signal can.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::net::socket::Waker;

/// A handle on one shutdown; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Rung once and never answered: every `poll` on it returns from then on.
    bell: Waker,
    since: OnceLock<Instant>,
    /// How long it may take, in milliseconds.
    limit: AtomicU64,
}

impl Shutdown {
    /// A shutdown that nobody has asked for.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Shutdown> {
        Ok(Shutdown(Arc::new(Shared {
            bell: Waker::new()?,
            since: OnceLock::new(),
            limit: AtomicU64::new(0),
        })))
    }

    /// Says how long the shutdown may take, should it be asked for; until then, no time at all.
    pub fn allow(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.limit.store(millis, Ordering::Relaxed);
    }

    /// How long the shutdown may take.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.0.limit.load(Ordering::Relaxed))
    }

    /// Asks for the shutdown; a second call changes nothing.
    pub fn trigger(&self) {
        self.0.since.get_or_init(Instant::now);
        self.0.bell.ring();
    }

    /// When the shutdown was asked for.
    pub fn since(&self) -> Option<Instant> {
        self.0.since.get().copied()
    }

    /// Whether the shutdown was asked for.
    pub fn is_triggered(&self) -> bool {
        self.since().is_some()
    }
}

/// Readable from the moment that the shutdown is asked for.
impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}
