//! What every connection is served from, and what of it the settings decide.
//!
//! The fixtures stay for as long as the server runs. The rules follow from the settings and
//! are replaced as a whole, so that a request is answered by one set of them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use log::{debug, warn};

use crate::api::metrics::{MetricsServer, Sources};
use crate::api::subscribe::{self, Terms, Visitor};
use crate::api::{Answer, RootPage, Routes};
use crate::auth::Verifier;
use crate::config::Config;
use crate::http::{self, Connection, Head, HttpError, Next, Persistence, Request};
use crate::hub::Hub;
use crate::hub::queue::QueueBudget;
use crate::net::connections::ip_limit::{OverIpLimit, PerIpLimit};
use crate::net::connections::{self, Connections};
use crate::net::live::Live;
use crate::net::shutdown::Shutdown;
use crate::telemetry::counters::{self, RejectReason};
use crate::telemetry::log::Throttle;
use crate::websocket::keepalive::Heartbeat;
use crate::websocket::session;

static TOO_MANY: Throttle = Throttle::new();

/// A house with its rules. Who brings a socket of their own needs no listener.
pub struct State {
    rules: Live<RuntimeConfig>,
    fixtures: Services,
}

/// What stays as it is for as long as the server runs.
struct Services {
    registry: Hub,
    queue_total: QueueBudget,
    connections: Connections,
    /// The one that subscribers show their tokens to, however long they have been here.
    verifier: Live<Verifier>,
    started: Instant,
    stop: Shutdown,
}

/// What follows from the settings.
struct RuntimeConfig {
    routes: Routes,
    limits: http::Limits,
    terms: Terms,
    addresses: PerIpLimit,
    max_connections: Option<usize>,
}

impl State {
    /// A house with nobody in it; `stop` ends its subscriptions.
    ///
    /// # Errors
    /// When no thread can be had for the heartbeat.
    pub fn new(
        config: &Config,
        front: RootPage,
        connections: Connections,
        stop: &Shutdown,
    ) -> io::Result<State> {
        let fixtures = Services {
            registry: Hub::default(),
            queue_total: QueueBudget::new(config.queue_total),
            connections,
            verifier: Live::new(verifier(config)),
            started: Instant::now(),
            stop: stop.clone(),
        };
        let heartbeat = fixtures.heartbeat(config)?;
        let (limit, proxies) = (config.max_connections_per_ip, &config.trusted_proxies);
        let addresses = PerIpLimit::new(limit, proxies.clone());
        let rules = fixtures.rules(config, front, heartbeat, addresses);
        stop.allow(config.timeouts.drain);
        Ok(State {
            rules: Live::new(Arc::new(rules)),
            fixtures,
        })
    }

    /// Where the metrics of a house are told.
    pub fn metrics_desk(house: &Arc<State>) -> MetricsServer {
        let fixtures = &house.fixtures;
        let sources = Sources {
            registry: fixtures.registry.clone(),
            queue_total: fixtures.queue_total.clone(),
            connections: fixtures.connections.clone(),
            stop: fixtures.stop.clone(),
        };
        let house = house.clone();
        MetricsServer::new(sources, move || house.limits())
    }

    /// Puts other settings into force, for all that begins from now on; nobody who is here has
    /// to go for it. HOST and PORT have done their work already.
    ///
    /// # Errors
    /// When no thread can be had for another heartbeat; then nothing has changed.
    pub fn apply_config(&self, config: &Config) -> io::Result<()> {
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
            let limit = connections::limit(config.max_connections);
            fixtures.connections.set_limit(limit);
        }
        fixtures.queue_total.set_limit(config.queue_total);
        fixtures.stop.allow(config.timeouts.drain);
        fixtures.verifier.replace(rules.routes.verifier.clone());
        self.rules.replace(Arc::new(rules));
        Ok(())
    }

    /// Who listens to what.
    pub fn registry(&self) -> Hub {
        self.fixtures.registry.clone()
    }

    /// How many connections each address has and may have.
    pub fn addresses(&self) -> PerIpLimit {
        self.rules.copy(|rules| rules.addresses.clone())
    }

    /// A connection's first thread: answers requests until it ends or becomes a subscriber.
    pub fn receive(&self, mut visitor: Visitor) {
        let id = visitor.slot.id();
        let mut conversation = Connection::new(
            visitor.socket.clone(),
            self.limits(),
            visitor.slot.guest(),
            self.fixtures.stop.clone(),
        );
        if let Err(too_many) = visitor.stay {
            note_too_many(too_many);
            refuse(&mut conversation, too_many.into());
            return;
        }
        while let Some(request) = self.next_request(&mut conversation, id) {
            let (rules, head) = (self.rules.now(), &request.head);
            let reply = match rules.answer(&request, &mut visitor) {
                Answer::Response(reply) => reply,
                Answer::Subscribe(accepted) => {
                    let terms = &rules.terms;
                    return subscribe::serve(conversation, accepted, head, visitor, terms);
                }
            };
            counters::HTTP_REQUESTS.add_one(reply.status().into());
            if conversation.reply(reply, head) == Persistence::Close {
                break;
            }
        }
        drop((conversation, visitor)); // before it is said, for who waits for the line
        debug!("disconnected conn={id} ending=http");
    }

    /// The next request of a connection, which has been ended if there is none.
    fn next_request(&self, conversation: &mut Connection, id: u64) -> Option<Request> {
        match conversation.await_request(|| self.limits()) {
            Next::Request(request) => Some(request),
            Next::Refused(refusal) => {
                debug!("request refused conn={id} status={}", refusal.status);
                refuse(conversation, refusal);
                None
            }
            Next::Over => None,
        }
    }

    fn limits(&self) -> http::Limits {
        self.rules.copy(|rules| rules.limits)
    }
}

impl RuntimeConfig {
    fn answer(&self, request: &Request, visitor: &mut Visitor) -> Answer {
        match self.routes.answer(request) {
            Answer::Subscribe(accepted) => match self.admit(visitor, &request.head) {
                Ok(()) => Answer::Subscribe(accepted),
                Err(too_many) => Answer::Response(HttpError::from(too_many).into()),
            },
            reply => reply,
        }
    }

    /// Counts a subscriber whose connection is a proxy's towards what its own address may have.
    fn admit(&self, visitor: &mut Visitor, head: &Head) -> Result<(), OverIpLimit> {
        let stay = self.addresses.subscribe(visitor.peer, head);
        let stay = stay.inspect_err(|too_many| note_too_many(*too_many))?;
        if stay.is_counted() {
            visitor.stay = Ok(stay);
        }
        Ok(())
    }
}

impl Services {
    /// Another one is started for another interval, and the old one ends with those it has:
    /// they have been promised the old interval.
    fn heartbeat(&self, config: &Config) -> io::Result<Heartbeat> {
        let interval = config.timeouts.ping_interval;
        Heartbeat::start(interval, self.connections.clone(), self.stop.clone())
    }

    fn rules(
        &self,
        config: &Config,
        front: RootPage,
        heartbeat: Heartbeat,
        addresses: PerIpLimit,
    ) -> RuntimeConfig {
        let timeouts = config.timeouts;
        RuntimeConfig {
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

fn refuse(conversation: &mut Connection, refusal: HttpError) {
    counters::HTTP_REQUESTS.add_one(refusal.status.into());
    conversation.refuse(refusal);
}

fn note_too_many(too_many: OverIpLimit) {
    counters::REJECTIONS.add_one(RejectReason::PerAddress);
    if let Some(suppressed) = TOO_MANY.pass() {
        warn!("connection refused reason=\"{too_many}\" suppressed={suppressed}");
    }
}
