//! Waits that a signal, or the end of the reader of our output, cuts short.

use std::io;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use super::error::ClientError;
use crate::net::Shutdown;
use crate::net::poll::{self, Wait};

/// Waits in `poll`, and notices a cancellation meanwhile.
#[derive(Debug, Clone)]
pub struct Watch {
    stop: Shutdown,
}

impl Watch {
    /// A watch whose waits end when `stop` is triggered or the reader of stdout is gone.
    pub fn new(stop: Shutdown) -> Watch {
        Watch { stop }
    }

    /// Fails if `stop` has been triggered.
    ///
    /// # Errors
    /// [`ClientError::Cancelled`].
    pub fn check(&self) -> Result<(), ClientError> {
        if self.stop.is_triggered() {
            return Err(ClientError::Cancelled);
        }
        Ok(())
    }

    /// Waits until a descriptor is ready or the deadline has passed.
    ///
    /// # Errors
    /// [`ClientError::Cancelled`].
    pub fn wait(&self, fd: PollFd<'_>, deadline: Instant) -> Result<Wait, ClientError> {
        self.poll(Some(fd), deadline)
    }

    /// Does nothing until the deadline has passed.
    ///
    /// # Errors
    /// [`ClientError::Cancelled`].
    pub fn pause(&self, deadline: Instant) -> Result<(), ClientError> {
        while self.poll(None, deadline)? != Wait::TimedOut {}
        Ok(())
    }

    fn poll(&self, fd: Option<PollFd<'_>>, deadline: Instant) -> Result<Wait, ClientError> {
        let stdout = io::stdout();
        let mut fds = vec![
            PollFd::new(&self.stop, PollFlags::IN),
            // Without any interest, poll still reports an error: that the reader is gone.
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        fds.extend(fd);
        let woken = poll::wait(&mut fds, Some(deadline))
            .map_err(|error| ClientError::Lost(format!("can't wait: {error}")))?;
        if fds[..2].iter().any(|fd| !fd.revents().is_empty()) {
            return Err(ClientError::Cancelled);
        }
        Ok(woken)
    }
}
