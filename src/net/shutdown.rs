//! The shutdown of the server: triggered once, seen by every thread that waits.
//!
//! It is handed to the server from outside, so that a test can trigger it as a signal does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::waker::Waker;

/// A handle on one shutdown; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Woken once and never cleared: every `poll` on it returns from then on.
    waker: Waker,
    triggered_at: OnceLock<Instant>,
    /// The drain time limit, in milliseconds.
    limit: AtomicU64,
}

impl Shutdown {
    /// A shutdown that has not been triggered.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Shutdown> {
        Ok(Shutdown(Arc::new(Shared {
            waker: Waker::new()?,
            triggered_at: OnceLock::new(),
            limit: AtomicU64::new(0),
        })))
    }

    /// Sets the drain time limit; without a call, there is no time at all.
    pub fn set_limit(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.limit.store(millis, Ordering::Relaxed);
    }

    /// The drain time limit.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.0.limit.load(Ordering::Relaxed))
    }

    /// Begins the shutdown; a second call changes nothing.
    pub fn trigger(&self) {
        self.0.triggered_at.get_or_init(Instant::now);
        self.0.waker.wake();
    }

    /// When the shutdown was triggered, if it was.
    pub fn triggered_at(&self) -> Option<Instant> {
        self.0.triggered_at.get().copied()
    }

    /// Whether the shutdown was triggered.
    pub fn is_triggered(&self) -> bool {
        self.triggered_at().is_some()
    }
}

/// Readable from the moment that the shutdown is triggered.
impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.waker.as_fd()
    }
}
