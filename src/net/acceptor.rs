//! The accept loop. Nothing but the shutdown ends it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags};

use super::connection::Connection;
use super::connections::{Connections, IpPermit, OverIpLimit, Room};
use super::input_budget::InputBudget;
use super::listener::{Holder, Listener};
use super::poll::wait;
use super::refusals::Refusals;
use super::shutdown::Shutdown;
use super::socket::Socket;
use super::worker_pool::{Unstarted, WorkerPool};
use crate::telemetry::counters;
use crate::telemetry::throttle::Throttle;

/// Pause after a failed accept, so that running out of descriptors does not cost a core.
const BACK_OFF: Duration = Duration::from_millis(10);
/// How often a full acceptor looks for the shutdown.
const FULL_RECHECK: Duration = Duration::from_millis(100);
/// Longest wait for the thread of an evicted connection, when no more can be started.
const THREAD_WAIT: Duration = Duration::from_secs(1);
/// How often one is evicted meanwhile.
const THREAD_RECHECK: Duration = Duration::from_millis(20);

static FAILURES: Throttle = Throttle::new();

/// Serves accepted connections, each on a thread of the pool.
pub trait Serve: Send + Sync + 'static {
    /// Counts a new connection towards the limit of its IP address.
    ///
    /// # Errors
    /// When the address has reached its limit.
    fn admit(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit>;

    /// Serves a connection until it ends, or until another thread serves it.
    fn serve(&self, connection: Connection);

    /// Counts a connection that is refused, and gives the bytes that it is answered with. It gets
    /// no thread and no place, and nobody is evicted for it.
    fn refuse(&self, reason: Refusal) -> Vec<u8>;
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    /// Its IP address has reached its limit.
    OverIpLimit(OverIpLimit),
    /// No thread can be started for it.
    NoThread,
}

/// Accepts connections from a listener, and hands them to a service.
pub struct Acceptor<S> {
    /// Where connections come from.
    pub listener: Listener,
    /// The stack of a thread that serves one, in bytes.
    pub stack_size: usize,
    /// The table that they are entered in.
    pub connections: Connections,
    /// The budget that their input is charged to.
    pub input_budget: InputBudget,
    /// What serves them.
    pub service: Arc<S>,
    /// Ends the loop.
    pub shutdown: Shutdown,
}

/// The state of the loop.
struct Running<S> {
    acceptor: Acceptor<S>,
    pool: WorkerPool<Connection>,
    refusals: Refusals,
    /// A connection that was accepted when there was no place for it.
    pending: Option<Accepted>,
}

/// A connection that was accepted, and counts towards its IP address.
struct Accepted {
    socket: Socket,
    peer: SocketAddr,
    ip_permit: IpPermit,
}

/// The state of the backlog when no more connections were accepted.
enum Backlog {
    /// No connection waits that this process should accept.
    Empty,
    /// A connection waits, and there is no place for it, at the earliest until this time.
    Waiting(Instant),
}

impl<S: Serve> Acceptor<S> {
    /// Accepts until the shutdown: whatever fails is logged, counted, and tried again.
    pub fn run(self) {
        let service = self.service.clone();
        let work = move |connection| service.serve(connection);
        let mut running = Running {
            pool: WorkerPool::new(self.stack_size, work),
            refusals: Refusals::default(),
            pending: None,
            acceptor: self,
        };
        running.run();
    }
}

impl<S: Serve> Running<S> {
    fn run(&mut self) {
        while !self.acceptor.shutdown.is_triggered() {
            match self.accept_all() {
                Ok(Backlog::Empty) => self.wait_for_backlog(),
                // Even the reserve is used: further connections wait in the kernel's backlog.
                Ok(Backlog::Waiting(until)) => {
                    self.acceptor.connections.wait_until_can_accept(until);
                }
                Err(error) => self.back_off(&error),
            }
            self.refusals.close_ended();
        }
        let _ = self.accept_all(); // the backlog of the last moment, as far as possible
        if let Some(accepted) = self.pending.take() {
            self.start(accepted);
        }
    }

    /// Sleeps until a connection waits, or the shutdown.
    fn wait_for_backlog(&self) {
        let Acceptor {
            listener, shutdown, ..
        } = &self.acceptor;
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(shutdown, PollFlags::IN),
        ];
        if let Err(error) = wait(&mut fds, self.refusals.next_check()) {
            self.back_off(&error);
        }
    }

    /// Accepts waiting connections while there is a place for them.
    fn accept_all(&mut self) -> io::Result<Backlog> {
        loop {
            let accepted = match self.pending.take() {
                Some(accepted) => accepted,
                None if !self.is_open() => return Ok(Backlog::Empty),
                None => match self.accept() {
                    Ok(Some(accepted)) => accepted,
                    Ok(None) => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Ok(Backlog::Empty);
                    }
                    Err(error) => return Err(error),
                },
            };
            if let Room::Full(until) = self.acceptor.connections.make_room() {
                self.pending = Some(accepted);
                let recheck = Instant::now() + FULL_RECHECK;
                return Ok(Backlog::Waiting(
                    until.map_or(recheck, |until| until.min(recheck)),
                ));
            }
            self.start(accepted);
        }
    }

    /// Accepts a connection; none, if it was refused. One that may not be open takes no place.
    fn accept(&mut self) -> io::Result<Option<Accepted>> {
        let (stream, peer) = self.acceptor.listener.accept()?;
        let socket = Socket::new(stream);
        match self.acceptor.service.admit(peer.ip()) {
            Ok(ip_permit) => Ok(Some(Accepted {
                socket,
                peer,
                ip_permit,
            })),
            Err(over_limit) => {
                self.refuse(socket, Refusal::OverIpLimit(over_limit));
                Ok(None)
            }
        }
    }

    fn refuse(&mut self, socket: Socket, reason: Refusal) {
        let answer = self.acceptor.service.refuse(reason);
        self.refusals.refuse(socket, &answer);
    }

    /// Enters a connection in the table, and has it served.
    fn start(&mut self, accepted: Accepted) {
        let Accepted {
            socket,
            peer,
            ip_permit,
        } = accepted;
        let permit = self.acceptor.connections.register(socket.clone());
        debug!("connected conn={} peer={peer}", permit.id());
        let connection = Connection {
            socket,
            peer: peer.ip(),
            permit,
            ip_permit,
            input_charge: self.acceptor.input_budget.charge(),
        };
        if let Err(unstarted) = self.pool.execute(connection) {
            self.start_on_evicted_thread(unstarted);
        }
    }

    /// No thread can be started: gives the connection the thread of one that is evicted for it.
    fn start_on_evicted_thread(&mut self, mut unstarted: Unstarted<Connection>) {
        log_failure(&unstarted.error);
        let deadline = Instant::now() + THREAD_WAIT;
        while Instant::now() < deadline && !self.acceptor.shutdown.is_triggered() {
            self.acceptor.connections.evict_for_thread();
            let started = self.pool.execute_within(unstarted.item, THREAD_RECHECK);
            match started {
                Ok(()) => return,
                Err(again) => unstarted = again,
            }
        }
        self.refuse(unstarted.item.socket, Refusal::NoThread);
    }

    /// On shutdown, accepts the backlog of a socket that closes with this process, which would
    /// reset it; an inherited socket's backlog is left to the next process.
    fn is_open(&self) -> bool {
        let Acceptor {
            listener, shutdown, ..
        } = &self.acceptor;
        !shutdown.is_triggered() || listener.holder() == Holder::ThisProcess
    }

    fn back_off(&self, error: &io::Error) {
        log_failure(error);
        let mut fds = [PollFd::new(&self.acceptor.shutdown, PollFlags::IN)];
        // The wait can only fail for want of memory; trying again at once is no worse then.
        let _ = wait(&mut fds, Some(Instant::now() + BACK_OFF));
    }
}

/// Counts and logs that a connection could not be accepted, or not served at once.
fn log_failure(error: &io::Error) {
    counters::ACCEPT_FAILURES.add_one();
    if let Some(suppressed) = FAILURES.pass() {
        warn!("accept failed error=\"{error}\" suppressed={suppressed}");
    }
}
