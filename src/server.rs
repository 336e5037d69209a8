//! The server: puts the house together, opens it, and sees everybody out.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::accept;
use crate::addresses::{Addresses, TooMany};
use crate::config::Config;
use crate::connections::Connections;
use crate::heartbeat::Heartbeat;
use crate::http::{self, Conversation, Head, Next, Persistence, Refusal};
use crate::listener::Listener;
use crate::log::Throttle;
use crate::outbox::QueueTotal;
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

static TOO_MANY: Throttle = Throttle::new();

/// Serves until `stop` is raised and everybody has left, at the latest after the drain
/// time limit.
///
/// # Errors
/// When the listener is not one, or no thread can be had.
pub fn run(
    listener: Listener,
    config: &Config,
    front: Front,
    stop: &Stop,
    notifier: &Notifier,
) -> io::Result<()> {
    let connections = Connections::new(connection_limit(config.max_connections));
    let house = House::new(config, front, connections.clone(), stop)?;
    let addresses = house.addresses.clone();
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
    accept::until_stopped(&listener, &reception, &connections, &addresses, stop);
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
    connections.ring_all();
    connections.wait_for_subscribers(deadline);
    connections.wait_for_end(deadline.min(since + STOPPING_GRACE));
    match connections.wait_for_work(deadline) {
        true => info!("stopped"),
        false => warn!("stopped with connections left limit={drain:?}"),
    }
}

/// What the file limit allows, after raising it as far as we may; or less, if so configured.
pub fn connection_limit(configured: Option<usize>) -> usize {
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

/// What every connection is served from. Who brings a socket of their own needs no listener.
pub struct House {
    routes: Routes,
    limits: http::Limits,
    terms: Terms,
    addresses: Addresses,
    stop: Stop,
}

impl House {
    /// A house with nobody in it; `stop` ends its subscriptions.
    ///
    /// # Errors
    /// When no thread can be had for the heartbeat.
    pub fn new(
        config: &Config,
        front: Front,
        connections: Connections,
        stop: &Stop,
    ) -> io::Result<House> {
        let verifier = Verifier::new(&config.secret, config.algorithm);
        let verifier = Arc::new(verifier.or_previous(config.previous_secret.as_ref()));
        let registry = Registry::default();
        let queue_total = QueueTotal::new(config.queue_total);
        let timeouts = config.timeouts;
        let interval = timeouts.ping_interval;
        let heartbeat = Heartbeat::start(interval, connections.clone(), stop.clone())?;
        Ok(House {
            limits: http::Limits {
                max_body: config.max_body,
                request: timeouts.request,
                idle: timeouts.idle,
                write: timeouts.write,
            },
            terms: Terms {
                verifier: verifier.clone(),
                registry: registry.clone(),
                heartbeat,
                queue: config.queue,
                queue_total: queue_total.clone(),
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
                queue_total,
                connections,
                origins: config.allowed_origins.clone(),
                front,
                started: Instant::now(),
                stop: stop.clone(),
            },
            addresses: Addresses::new(
                config.max_connections_per_ip,
                config.trusted_proxies.clone(),
            ),
            stop: stop.clone(),
        })
    }

    /// A connection's first thread: answers requests until it ends or becomes a subscriber.
    pub fn receive(&self, mut visitor: Visitor) {
        let id = visitor.slot.id();
        let mut conversation = Conversation::new(
            visitor.socket.clone(),
            self.limits,
            visitor.slot.guest(),
            self.stop.clone(),
        );
        if let Err(too_many) = visitor.stay {
            note_too_many(too_many);
            conversation.refuse(too_many.into());
            return;
        }
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
            let reply = match self.routes.answer(&request) {
                Answer::Reply(reply) => reply,
                Answer::Subscribe(accepted) => match self.admit(&mut visitor, &request.head) {
                    Ok(()) => {
                        let head = &request.head;
                        return subscribe::serve(
                            conversation,
                            accepted,
                            head,
                            visitor,
                            &self.terms,
                        );
                    }
                    Err(too_many) => Refusal::from(too_many).into(),
                },
            };
            if conversation.reply(reply, &request.head) == Persistence::Close {
                break;
            }
        }
        debug!("disconnected conn={id} ending=http");
    }

    /// Counts a subscriber whose connection is a proxy's towards what its own address may have.
    fn admit(&self, visitor: &mut Visitor, head: &Head) -> Result<(), TooMany> {
        let stay = self.addresses.subscribe(visitor.peer, head);
        let stay = stay.inspect_err(|too_many| note_too_many(*too_many))?;
        if stay.is_counted() {
            visitor.stay = Ok(stay);
        }
        Ok(())
    }
}

fn note_too_many(too_many: TooMany) {
    if let Some(suppressed) = TOO_MANY.pass() {
        warn!("connection refused reason=\"{too_many}\" suppressed={suppressed}");
    }
}
