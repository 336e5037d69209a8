//! The accept loop. Nothing but the shutdown ends it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags};

use super::connection::Connection;
use super::connections::{Connections, IpPermit, OverIpLimit};
use super::input_budget::InputBudget;
use super::listener::{Holder, Listener};
use super::poll::{Wait, wait};
use super::shutdown::Shutdown;
use super::socket::Socket;
use super::worker_pool::WorkerPool;
use crate::telemetry::counters;
use crate::telemetry::throttle::Throttle;

/// Pause after a failed accept, so that running out of descriptors does not cost a core.
const BACK_OFF: Duration = Duration::from_millis(10);
/// How often a full acceptor looks for the shutdown.
const FULL_RECHECK: Duration = Duration::from_millis(100);

static FAILURES: Throttle = Throttle::new();

/// Serves accepted connections, each on a thread of the pool.
pub trait Serve: Send + Sync + 'static {
    /// Counts a new connection towards the limit of its IP address.
    ///
    /// # Errors
    /// When the address has reached its limit; [`Serve::reject`] is called then.
    fn admit(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit>;

    /// Serves a connection until it ends, or until another thread serves it.
    fn serve(&self, connection: Connection);

    /// Answers a connection that is over the limit of its IP address, and ends it.
    fn reject(&self, connection: Connection, reason: OverIpLimit);
}

/// Accepts connections from a listener, and hands them to a service.
pub struct Acceptor<S> {
    /// Where connections come from.
    pub listener: Listener,
    /// The threads that serve them.
    pub pool: WorkerPool,
    /// The table that they are entered in.
    pub connections: Connections,
    /// The budget that their input is charged to.
    pub input_budget: InputBudget,
    /// What serves them.
    pub service: Arc<S>,
    /// Ends the loop.
    pub shutdown: Shutdown,
}

/// The state of the backlog when no more connections were accepted.
enum Backlog {
    /// No connection waits that this process should accept.
    Empty,
    /// A connection waits, and there is no place for it.
    Waiting,
}

impl<S: Serve> Acceptor<S> {
    /// Accepts until the shutdown: whatever fails is logged, counted, and tried again.
    pub fn run(self) {
        while !self.shutdown.is_triggered() {
            let mut fds = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&self.shutdown, PollFlags::IN),
            ];
            let accepted = wait(&mut fds, None).and_then(|_| self.accept_all());
            match accepted {
                Ok(Backlog::Empty) => {}
                // Even the reserve is used: further connections wait in the kernel's backlog.
                Ok(Backlog::Waiting) => {
                    self.connections
                        .wait_until_can_accept(Instant::now() + FULL_RECHECK);
                }
                Err(error) => self.back_off(&error),
            }
        }
        let _ = self.accept_all(); // the backlog of the last moment, as far as possible
    }

    /// Accepts waiting connections while there is a place for them.
    fn accept_all(&self) -> io::Result<Backlog> {
        loop {
            if !self.is_open() {
                return Ok(Backlog::Empty);
            }
            if !self.connections.can_accept() {
                let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
                if wait(&mut fds, Some(Instant::now()))? == Wait::TimedOut {
                    return Ok(Backlog::Empty);
                }
                if !self.connections.evict_for_accept() {
                    return Ok(Backlog::Waiting);
                }
            }
            let (stream, peer) = match self.listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Backlog::Empty),
                accepted => accepted?,
            };
            self.start(Socket::new(stream), peer)?;
        }
    }

    /// Enters a connection in the table, and has it served.
    fn start(&self, socket: Socket, peer: SocketAddr) -> io::Result<()> {
        let permit = self.connections.register(socket.clone());
        debug!("connected conn={} peer={peer}", permit.id());
        let (ip_permit, rejected) = match self.service.admit(peer.ip()) {
            Ok(ip_permit) => (ip_permit, None),
            Err(over_limit) => (IpPermit::uncounted(), Some(over_limit)),
        };
        let connection = Connection {
            socket,
            peer: peer.ip(),
            permit,
            ip_permit,
            input_charge: self.input_budget.charge(),
        };
        let service = self.service.clone();
        match rejected {
            None => self.pool.execute(move || service.serve(connection)),
            Some(reason) => self
                .pool
                .execute(move || service.reject(connection, reason)),
        }
    }

    /// On shutdown, accepts the backlog of a socket that closes with this process, which would
    /// reset it; an inherited socket's backlog is left to the next process.
    fn is_open(&self) -> bool {
        !self.shutdown.is_triggered() || self.listener.holder() == Holder::ThisProcess
    }

    fn back_off(&self, error: &io::Error) {
        counters::ACCEPT_FAILURES.add_one();
        if let Some(suppressed) = FAILURES.pass() {
            warn!("accept failed error=\"{error}\" suppressed={suppressed}");
        }
        let mut fds = [PollFd::new(&self.shutdown, PollFlags::IN)];
        // The wait can only fail for want of memory; trying again at once is no worse then.
        let _ = wait(&mut fds, Some(Instant::now() + BACK_OFF));
    }
}
