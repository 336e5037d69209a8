//! What may end a wait early: the wish to stop, and a reader of our output that has gone.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use super::Ended;
use crate::net::Shutdown;
use crate::net::poll::{self, Wait};

/// Looks out while something else is waited for.
#[derive(Debug, Clone)]
pub struct Watch {
    stop: Shutdown,
}

impl Watch {
    /// Waits are ended by this stop, or when stdout leads to nobody any more.
    pub fn new(stop: Shutdown) -> Watch {
        Watch { stop }
    }

    /// Says so if the wish to stop is there.
    ///
    /// # Errors
    /// [`Ended::Wanted`].
    pub fn check(&self) -> Result<(), Ended> {
        match self.stop.is_triggered() {
            true => Err(Ended::Wanted),
            false => Ok(()),
        }
    }

    /// Waits until a descriptor is ready or the deadline has passed.
    ///
    /// # Errors
    /// [`Ended::Wanted`] when nobody wants to wait any longer.
    pub fn wait(
        &self,
        fd: impl AsFd,
        interest: PollFlags,
        deadline: Instant,
    ) -> Result<Wait, Ended> {
        self.poll(
            Some(PollFd::from_borrowed_fd(fd.as_fd(), interest)),
            deadline,
        )
    }

    /// Does nothing until the deadline has passed.
    ///
    /// # Errors
    /// [`Ended::Wanted`] when nobody wants to wait any longer.
    pub fn pause(&self, deadline: Instant) -> Result<(), Ended> {
        while self.poll(None, deadline)? != Wait::TimedOut {}
        Ok(())
    }

    fn poll(&self, fd: Option<PollFd<'_>>, deadline: Instant) -> Result<Wait, Ended> {
        let stdout = io::stdout();
        let mut fds = vec![
            PollFd::new(&self.stop, PollFlags::IN),
            // No interest is enough to be told of an error: the end of the pipe's reader.
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        fds.extend(fd);
        let woken = poll::wait(&mut fds, Some(deadline))
            .map_err(|error| Ended::Lost(format!("can't wait: {error}")))?;
        match fds[..2].iter().all(|fd| fd.revents().is_empty()) {
            true => Ok(woken),
            false => Err(Ended::Wanted),
        }
    }
}
