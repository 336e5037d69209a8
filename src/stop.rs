//! The wish to shut down: raised once, seen by every thread that waits.
//!
//! It comes in two steps: first everybody is asked to come to an end, and last, those who
//! have nothing to come to an end with are dismissed. A leaf. The server takes it from outside, so that a test can raise it as well as
//! a signal can.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::socket::Doorbell;

/// A handle on one shutdown; clones share it.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Rung once and never answered: every `poll` on it returns from then on.
    bell: Doorbell,
    since: OnceLock<Instant>,
    dismissal: Doorbell,
}

impl Stop {
    /// A shutdown that nobody has asked for.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Stop> {
        let (bell, dismissal) = (Doorbell::new()?, Doorbell::new()?);
        Ok(Stop(Arc::new(Shared {
            bell,
            since: OnceLock::new(),
            dismissal,
        })))
    }

    /// Asks for the shutdown; a second call changes nothing.
    pub fn raise(&self) {
        self.0.since.get_or_init(Instant::now);
        self.0.bell.ring();
    }

    /// When the shutdown was asked for.
    pub fn since(&self) -> Option<Instant> {
        self.0.since.get().copied()
    }

    /// Sends away who is here without anything to do.
    pub fn dismiss(&self) {
        self.0.dismissal.ring();
    }

    /// Readable from the moment that the idle are sent away.
    pub fn dismissal(&self) -> BorrowedFd<'_> {
        self.0.dismissal.as_fd()
    }

    /// Whether the shutdown was asked for.
    pub fn is_raised(&self) -> bool {
        self.since().is_some()
    }
}

/// Readable from the moment that the shutdown is asked for.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}
