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
use crate::live::Live;
use crate::log::Throttle;
use crate::outbox::QueueTotal;
use crate::reception::Reception;
use crate::registry::{Registry, Stats};
use crate::reload::Reload;
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
/// time limit. Other settings come with `reload`.
///
/// # Errors
/// When the listener is not one, or no thread can be had.
pub fn run(
    listener: Listener,
    config: &Config,
    front: Front,
    stop: &Stop,
    notifier: &Notifier,
    reload: Reload,
) -> io::Result<()> {
    let connections = Connections::new(connection_limit(config.max_connections));
    let house = Arc::new(House::new(config, front, connections.clone(), stop)?);
    let (registry, host) = (house.fixtures.registry.clone(), house.clone());
    let reception = Reception::new(STACK_SIZE, move |visitor| host.receive(visitor));
    let address = listener.local_addr()?;
    info!("listening addr={address}");
    pulse::start(
        notifier.clone(),
        address,
        move || status(registry.stats()),
        stop.clone(),
    )?;
    let heir = house.clone();
    reload.start(config.clone(), notifier.clone(), stop.clone(), move |new| {
        heir.adopt(new)
    })?;
    let addresses = || house.addresses();
    accept::until_stopped(&listener, &reception, &connections, addresses, stop);
    drop(listener);
    notifier.stopping(stop.limit());
    see_out(&connections, stop, stop.limit());
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
    /// What the settings ask for, replaced as a whole: a request is answered by one set of them.
    rules: Live<Rules>,
    fixtures: Fixtures,
}

/// What stays as it is for as long as the server runs.
struct Fixtures {
    registry: Registry,
    queue_total: QueueTotal,
    connections: Connections,
    /// The one that subscribers show their tokens to, however long they have been here.
    verifier: Live<Verifier>,
    started: Instant,
    stop: Stop,
}

/// What follows from the settings.
struct Rules {
    routes: Routes,
    limits: http::Limits,
    terms: Terms,
    addresses: Addresses,
    max_connections: Option<usize>,
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
        let fixtures = Fixtures {
            registry: Registry::default(),
            queue_total: QueueTotal::new(config.queue_total),
            connections,
            verifier: Live::new(verifier(config)),
            started: Instant::now(),
            stop: stop.clone(),
        };
        let heartbeat = fixtures.heartbeat(config)?;
        let (limit, proxies) = (config.max_connections_per_ip, &config.trusted_proxies);
        let addresses = Addresses::new(limit, proxies.clone());
        let rules = fixtures.rules(config, front, heartbeat, addresses);
        stop.allow(config.timeouts.drain);
        Ok(House {
            rules: Live::new(Arc::new(rules)),
            fixtures,
        })
    }

    /// Puts other settings into force, for all that begins from now on; nobody who is here has
    /// to go for it. HOST and PORT have done their work already.
    ///
    /// # Errors
    /// When no thread can be had for another heartbeat; then nothing has changed.
    pub fn adopt(&self, config: &Config) -> io::Result<()> {
        let (old, fixtures) = (self.rules.now(), &self.fixtures);
        let heartbeat = match old.terms.heartbeat.interval() == config.timeouts.ping_interval {
            true => old.terms.heartbeat.clone(),
            false => fixtures.heartbeat(config)?,
        };
        let front = &old.routes.front;
        let front = front.signing_with(&config.secret, config.algorithm);
        let (limit, proxies) = (config.max_connections_per_ip, &config.trusted_proxies);
        let addresses = old.addresses.under(limit, proxies.clone());
        let rules = fixtures.rules(config, front, heartbeat, addresses);
        if config.max_connections != old.max_connections {
            let limit = connection_limit(config.max_connections);
            fixtures.connections.set_limit(limit);
        }
        fixtures.queue_total.set_limit(config.queue_total);
        fixtures.stop.allow(config.timeouts.drain);
        fixtures.verifier.replace(rules.routes.verifier.clone());
        self.rules.replace(Arc::new(rules));
        Ok(())
    }

    /// How many connections each address has and may have.
    pub fn addresses(&self) -> Addresses {
        self.rules.copy(|rules| rules.addresses.clone())
    }

    /// A connection's first thread: answers requests until it ends or becomes a subscriber.
    pub fn receive(&self, mut visitor: Visitor) {
        let id = visitor.slot.id();
        let limits = || self.rules.copy(|rules| rules.limits);
        let mut conversation = Conversation::new(
            visitor.socket.clone(),
            limits(),
            visitor.slot.guest(),
            self.fixtures.stop.clone(),
        );
        if let Err(too_many) = visitor.stay {
            note_too_many(too_many);
            conversation.refuse(too_many.into());
            return;
        }
        loop {
            let request = match conversation.await_request(limits) {
                Next::Request(request) => request,
                Next::Refused(refusal) => {
                    debug!("request refused conn={id} status={}", refusal.status);
                    conversation.refuse(refusal);
                    break;
                }
                Next::Over => break,
            };
            let (rules, head) = (self.rules.now(), &request.head);
            let reply = match rules.routes.answer(&request) {
                Answer::Reply(reply) => reply,
                Answer::Subscribe(accepted) => match rules.admit(&mut visitor, head) {
                    Ok(()) => {
                        let terms = &rules.terms;
                        return subscribe::serve(conversation, accepted, head, visitor, terms);
                    }
                    Err(too_many) => Refusal::from(too_many).into(),
                },
            };
            if conversation.reply(reply, head) == Persistence::Close {
                break;
            }
        }
        debug!("disconnected conn={id} ending=http");
    }
}

impl Rules {
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

impl Fixtures {
    /// Another one is started for another interval, and the old one ends with those it has:
    /// they have been promised the old interval.
    fn heartbeat(&self, config: &Config) -> io::Result<Heartbeat> {
        let interval = config.timeouts.ping_interval;
        Heartbeat::start(interval, self.connections.clone(), self.stop.clone())
    }

    fn rules(
        &self,
        config: &Config,
        front: Front,
        heartbeat: Heartbeat,
        addresses: Addresses,
    ) -> Rules {
        let timeouts = config.timeouts;
        Rules {
            limits: http::Limits {
                max_body: config.max_body,
                request: timeouts.request,
                idle: timeouts.idle,
                write: timeouts.write,
            },
            terms: Terms {
                verifier: self.verifier.clone(),
                registry: self.registry.clone(),
                heartbeat,
                queue: config.queue,
                queue_total: self.queue_total.clone(),
                auth_timeout: timeouts.auth,
                limits: session::Limits {
                    ping_interval: timeouts.ping_interval,
                    write: timeouts.write,
                },
                stop: self.stop.clone(),
            },
            routes: Routes {
                verifier: verifier(config),
                registry: self.registry.clone(),
                queue_total: self.queue_total.clone(),
                connections: self.connections.clone(),
                origins: config.allowed_origins.clone(),
                front,
                started: self.started,
                stop: self.stop.clone(),
            },
            addresses,
            max_connections: config.max_connections,
        }
    }
}

fn verifier(config: &Config) -> Arc<Verifier> {
    let verifier = Verifier::new(&config.secret, config.algorithm);
    Arc::new(verifier.or_previous(config.previous_secret.as_ref()))
}

fn note_too_many(too_many: TooMany) {
    if let Some(suppressed) = TOO_MANY.pass() {
        warn!("connection refused reason=\"{too_many}\" suppressed={suppressed}");
    }
}
