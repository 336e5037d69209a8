//! The server: accepts connections, gives each a thread, and sees them all out.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{listen as set_backlog, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::connections::{Connections, Slot};
use crate::http::{self, Conversation, Next, Persistence};
use crate::log::Throttle;
use crate::registry::Registry;
use crate::routes::{Answer, Front, Routes};
use crate::session;
use crate::socket::{Socket, wait};
use crate::stop::Stop;
use crate::subscribe::{self, Terms, Visitor};
use crate::token::Verifier;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// What the kernel may hold for a peer that does not read, in bytes; it takes this twice.
/// Left to itself it would grow to 4 MiB each, and call a socket writable only when a third
/// of that is free.
const SEND_BUFFER: usize = 128 * 1024;
/// Stack of a connection's first thread, in bytes, of which it touches about 24 KiB.
///
/// Over four times that of a subscriber's thread: glibc keeps the stacks of ended threads
/// with what they had touched, and gives them to new threads unless they are so much larger
/// than asked for. So the thread that waits for hours gets one that nobody has touched.
const STACK_SIZE: usize = 5 * subscribe::STACK_SIZE;
/// Pause after a failed accept, so that running out of descriptors does not cost a core.
const BACK_OFF: Duration = Duration::from_millis(10);
/// How often a full server looks whether it should stop.
const FULL_RECHECK: Duration = Duration::from_millis(100);

/// How long idle connections stay open after the stop: a request that is on its way just
/// then is still answered.
const STOPPING_GRACE: Duration = Duration::from_secs(1);

static FAILED_ACCEPTS: Throttle = Throttle::new();

/// Binds a listener whose options its connections inherit.
///
/// # Errors
/// When the name does not resolve, or the address can't be bound.
pub fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let listener = TcpListener::bind(&addresses[..])?;
    set_backlog(&listener, BACKLOG)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    sockopt::set_socket_keepalive(&listener, true)?;
    sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `stop` is raised and everybody has left, at the latest after the drain
/// time limit.
///
/// # Errors
/// When the listener is not one.
pub fn run(listener: TcpListener, config: &Config, front: Front, stop: &Stop) -> io::Result<()> {
    let connections = Connections::new(connection_limit(config.max_connections));
    let house = Arc::new(House::new(config, front, connections.clone(), stop));
    info!("listening addr={}", listener.local_addr()?);
    house.accept_until_stopped(&listener)?;
    drop(listener);
    see_out(&connections, stop, config.timeouts.drain);
    Ok(())
}

/// Waits for the subscribers, then for who is only asking, and logs how it ended.
fn see_out(connections: &Connections, stop: &Stop, drain: Duration) {
    info!("draining limit={drain:?}");
    let since = stop.since().unwrap_or_else(Instant::now);
    let deadline = since + drain;
    connections.wait_for_subscribers(deadline);
    connections.wait_for_end(deadline.min(since + STOPPING_GRACE));
    stop.dismiss();
    match connections.wait_for_end(deadline) {
        true => info!("stopped"),
        false => warn!("stopped with connections left limit={drain:?}"),
    }
}

/// What the file limit allows, after raising it as far as we may; or less, if so configured.
fn connection_limit(configured: Option<usize>) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let possible = Connections::possible_with(files.unwrap_or(u64::MAX));
    match configured {
        Some(configured) if configured > possible => {
            warn!(
                "BIFROST_MAX_CONNECTIONS is over what the file limit allows, and is lowered \
                 configured={configured} possible={possible} cure=\"raise LimitNOFILE\""
            );
            possible
        }
        Some(configured) => configured,
        None => possible,
    }
}

/// What every connection is served from.
struct House {
    routes: Routes,
    limits: http::Limits,
    terms: Terms,
    connections: Connections,
    stop: Stop,
}

impl House {
    fn new(config: &Config, front: Front, connections: Connections, stop: &Stop) -> House {
        let verifier = Arc::new(Verifier::new(&config.secret, config.algorithm));
        let registry = Registry::default();
        let timeouts = config.timeouts;
        House {
            limits: http::Limits {
                max_body: config.max_body,
                request: timeouts.request,
                idle: timeouts.idle,
                write: timeouts.write,
            },
            terms: Terms {
                verifier: verifier.clone(),
                registry: registry.clone(),
                queue: config.queue,
                auth_timeout: timeouts.auth,
                limits: session::Limits {
                    ping_interval: timeouts.ping_interval,
                    write: timeouts.write,
                    drain: timeouts.drain,
                },
                stop: stop.clone(),
            },
            routes: Routes {
                verifier,
                registry,
                connections: connections.clone(),
                origins: config.allowed_origins.clone(),
                front,
                started: Instant::now(),
                stop: stop.clone(),
            },
            connections,
            stop: stop.clone(),
        }
    }

    /// Never gives up but for the stop: whatever fails is logged, and tried again.
    fn accept_until_stopped(self: &Arc<House>, listener: &TcpListener) -> io::Result<()> {
        let mut visitors = 0;
        while !self.stop.is_raised() {
            // When even the reserve is taken, newcomers wait with the kernel.
            if !self
                .connections
                .wait_for_room(Instant::now() + FULL_RECHECK)
            {
                continue;
            }
            let mut fds = [
                PollFd::new(listener, PollFlags::IN),
                PollFd::new(&self.stop, PollFlags::IN),
            ];
            wait(&mut fds, None)?;
            self.accept_waiting(listener, &mut visitors);
        }
        self.accept_waiting(listener, &mut visitors); // those who came before we closed
        Ok(())
    }

    fn accept_waiting(self: &Arc<House>, listener: &TcpListener, visitors: &mut u64) {
        while self.connections.wait_for_room(Instant::now()) {
            let started = match listener.accept() {
                Ok((stream, peer)) => {
                    *visitors += 1;
                    debug!("connected conn={visitors} peer={peer}");
                    self.start_thread(stream, *visitors)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                if let Some(suppressed) = FAILED_ACCEPTS.pass() {
                    warn!("accept failed error=\"{error}\" suppressed={suppressed}");
                }
                return self.back_off();
            }
        }
    }

    fn start_thread(self: &Arc<House>, stream: TcpStream, id: u64) -> io::Result<()> {
        let (house, slot) = (self.clone(), self.connections.admit());
        let visit = move || house.receive(Socket::new(stream), slot, id);
        thread::Builder::new()
            .stack_size(STACK_SIZE)
            .spawn(visit)
            .map(drop)
    }

    fn back_off(&self) {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        // It can only fail for want of memory; then going on at once is no worse.
        let _ = wait(&mut fds, Some(Instant::now() + BACK_OFF));
    }

    /// A connection's first thread: answers requests until it ends or becomes a subscriber.
    fn receive(&self, socket: Socket, slot: Slot, id: u64) {
        let mut conversation = Conversation::new(socket.clone(), self.limits, self.stop.clone());
        loop {
            let request = match conversation.await_request() {
                Next::Request(request) => request,
                Next::Refused(refusal) => {
                    debug!("request refused conn={id} status={}", refusal.status);
                    conversation.refuse(refusal);
                    break;
                }
                Next::Over => break,
            };
            match self.routes.answer(&request) {
                Answer::Reply(reply) => {
                    if conversation.reply(reply, &request.head) == Persistence::Close {
                        break;
                    }
                }
                Answer::Subscribe(accepted) => {
                    let visitor = Visitor { id, socket, slot };
                    return subscribe::serve(
                        conversation,
                        accepted,
                        &request.head,
                        visitor,
                        &self.terms,
                    );
                }
            }
        }
        debug!("disconnected conn={id} ending=http");
    }
}
