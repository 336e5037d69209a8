//! epoll: which of many sockets are ready.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::Result;

/// Events taken at once. More would delay the handling of the first.
const BATCH: usize = 512;

/// An epoll instance with its event buffer.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// What a socket is watched for.
#[derive(Clone, Copy)]
pub enum Interest {
    /// New bytes since the last event (edge-triggered). The reader must read all that is there; it
    /// spares the kernel a second check of each socket that was ready.
    Arrivals,
    /// Bytes to read, or the end.
    Read,
    /// The same, or room in the send buffer.
    ReadAndWrite,
}

/// A socket that is ready.
#[derive(Clone, Copy)]
pub struct Ready {
    /// The token that it was added with.
    pub token: u64,
    /// Whether there is something to read, or the connection ended.
    pub readable: bool,
    /// Whether the send buffer has room.
    pub writable: bool,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Interest::Arrivals => epoll::EventFlags::IN | epoll::EventFlags::ET,
            Interest::Read => epoll::EventFlags::IN,
            Interest::ReadAndWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        }
    }
}

impl Poller {
    /// A poller that watches nothing yet.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> Result<Poller> {
        Ok(Poller {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(BATCH),
        })
    }

    /// Watches a socket until it is closed.
    ///
    /// # Errors
    /// When the kernel is out of memory for watches.
    pub fn add(&self, socket: impl AsFd, token: u64, interest: Interest) -> Result {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, socket, data, interest.flags())?)
    }

    /// Changes what a socket is watched for.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn change(&self, socket: impl AsFd, token: u64, interest: Interest) -> Result {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, socket, data, interest.flags())?)
    }

    /// Waits until a socket is ready or the deadline has passed; returns how many are.
    ///
    /// # Errors
    /// When epoll fails for another reason than a signal.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<usize> {
        self.events.clear();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(timespec);
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// One of the sockets that the last wait found.
    #[inline]
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let (data, flags) = (event.data, event.flags);
        Ready {
            token: data.u64(),
            readable: flags.intersects(
                epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
            ),
            writable: flags.contains(epoll::EventFlags::OUT),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
