//! Waiting for file descriptors.

use std::io;
use std::time::Instant;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// At least one of the descriptors is ready.
    Ready,
    /// The deadline passed.
    TimedOut,
}

/// Waits until a descriptor is ready or the deadline has passed. May also return
/// [`Wait::Ready`] without cause.
///
/// # Errors
/// Only when the kernel lacks memory, or the caller gave a closed descriptor.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<Wait> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // A duration that a timespec can't hold is as good as no limit.
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(0) => Ok(Wait::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(Wait::Ready),
        Err(error) => Err(error.into()),
    }
}
