//! The server: puts the house together, opens it, and sees everybody out.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::accept;
use crate::config::Config;
use crate::connections::Connections;
use crate::http::{self, Conversation, Next, Persistence};
use crate::listener::Listener;
use crate::reception::Reception;
use crate::registry::{Registry, Stats};
use crate::routes::{Answer, Front, Routes};
use crate::session;
use crate::stop::Stop;
use crate::subscribe::{self, Terms, Visitor};
use crate::systemd::{notify::Notifier, pulse};
use crate::token::Verifier;

/// Stack of a connection's first thread, in bytes, of which it touches about 24 KiB.
///
/// Over four times that of a subscriber's thread: glibc keeps the stacks of ended threads
/// with what they had touched, and gives them to new threads unless they are so much larger
/// than asked for. So the thread that waits for hours gets one that nobody has touched.
const STACK_SIZE: usize = 5 * subscribe::STACK_SIZE;

/// How long idle connections stay open after the stop: a request that is on its way just
/// then is still answered.
const STOPPING_GRACE: Duration = Duration::from_secs(1);

/// Serves until `stop` is raised and everybody has left, at the latest after the drain
/// time limit.
///
/// # Errors
/// When the listener is not one, or the thread for the service manager can't be started.
pub fn run(
    listener: Listener,
    config: &Config,
    front: Front,
    stop: &Stop,
    notifier: &Notifier,
) -> io::Result<()> {
    let connections = Connections::new(connection_limit(config.max_connections));
    let house = House::new(config, front, connections.clone(), stop);
    let registry = house.routes.registry.clone();
    let reception = Reception::new(STACK_SIZE, move |visitor| house.receive(visitor));
    let address = listener.local_addr()?;
    info!("listening addr={address}");
    pulse::start(
        notifier.clone(),
        address,
        move || status(registry.stats()),
        stop.clone(),
    )?;
    accept::until_stopped(&listener, &reception, &connections, stop);
    drop(listener);
    notifier.stopping(config.timeouts.drain);
    see_out(&connections, stop, config.timeouts.drain);
    Ok(())
}

/// The line that `systemctl status` shows.
fn status(stats: Stats) -> String {
    format!(
        "connected: {}, channels: {}, deliveries: {}",
        stats.connected, stats.channels, stats.deliveries
    )
}

/// Waits for the subscribers and for requests under way, and logs how it ended. Who is only
/// connected is left for a moment, for a request that is on its way, and then left behind.
fn see_out(connections: &Connections, stop: &Stop, drain: Duration) {
    info!("draining limit={drain:?}");
    let since = stop.since().unwrap_or_else(Instant::now);
    let deadline = since + drain;
    connections.wait_for_subscribers(deadline);
    connections.wait_for_end(deadline.min(since + STOPPING_GRACE));
    match connections.wait_for_work(deadline) {
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

    /// A connection's first thread: answers requests until it ends or becomes a subscriber.
    fn receive(&self, visitor: Visitor) {
        let (id, socket) = (visitor.id, visitor.socket.clone());
        let mut conversation = Conversation::new(
            socket,
            self.limits,
            self.connections.clone(),
            self.stop.clone(),
        );
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
                Answer::Subscribe(reply) => {
                    return subscribe::serve(
                        conversation,
                        reply,
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
