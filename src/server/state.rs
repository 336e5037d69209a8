//! The state of the server: its services, and the configuration in force.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use log::debug;

use crate::api::{
    self, CurrentConfig, PerTokenLimit, RootPage, RuntimeConfig, Services, Subscriber,
    SubscriberConfig, subscribe,
};
use crate::auth::Verifier;
use crate::config::Config;
use crate::http::{self, Answer, HttpError, Request, Status};
use crate::hub::Hub;
use crate::hub::queue::QueueBudget;
use crate::net::acceptor::{Refusal, Serve};
use crate::net::connections::{self, Connections, IpPermit, OverIpLimit, PerIpLimit};
use crate::net::{self, InputBudget, Shutdown};
use crate::telemetry::counters;
use crate::websocket::{Heartbeat, session};

/// Everything that connections are served with.
pub struct State {
    services: Services,
}

impl State {
    /// A state without connections; `shutdown` ends its subscribers.
    ///
    /// # Errors
    /// When the heartbeat's thread can't be started.
    pub fn new(
        config: &Config,
        root_page: RootPage,
        connections: Connections,
        shutdown: &Shutdown,
    ) -> io::Result<State> {
        let interval = config.timeouts.ping_interval;
        let heartbeat = Heartbeat::start(interval, connections.clone(), shutdown.clone())?;
        let (limit, proxies) = (config.max_connections_per_ip, &config.trusted_proxies);
        let per_ip = PerIpLimit::new(limit, proxies.clone());
        let per_token = PerTokenLimit::new(config.max_connections_per_token);
        let runtime = runtime_config(config, root_page, heartbeat, per_ip, per_token);
        shutdown.set_limit(config.timeouts.drain);
        Ok(State {
            services: Services {
                hub: Hub::default(),
                queue_budget: QueueBudget::new(config.queue_total),
                input_budget: InputBudget::new(config.input_total),
                connections,
                config: CurrentConfig::new(runtime),
                started: Instant::now(),
                shutdown: shutdown.clone(),
            },
        })
    }

    /// The services, for what shares them.
    pub fn services(&self) -> Services {
        self.services.clone()
    }

    /// Puts other settings into force, for everything that begins from now on. No connection ends.
    /// Settings that need a restart are ignored.
    pub fn apply_config(&self, config: &Config) {
        let services = &self.services;
        let old = services.config.load();
        let interval = config.timeouts.ping_interval;
        let heartbeat = old.subscriber.heartbeat.with_interval(interval);
        let root_page = old.root_page.with_secret(&config.secret, config.algorithm);
        let (limit, proxies) = (config.max_connections_per_ip, &config.trusted_proxies);
        let per_ip = old.per_ip.with_rules(limit, proxies.clone());
        if config.max_connections != old.max_connections {
            let limit = connections::limit(config.max_connections);
            services.connections.set_limit(limit);
        }
        services.queue_budget.set_limit(config.queue_total);
        services.input_budget.set_limit(config.input_total);
        services.shutdown.set_limit(config.timeouts.drain);
        let per_token = old.per_token.with_limit(config.max_connections_per_token);
        let new = runtime_config(config, root_page, heartbeat, per_ip, per_token);
        services.config.store(new);
    }
}

fn runtime_config(
    config: &Config,
    root_page: RootPage,
    heartbeat: Heartbeat,
    per_ip: PerIpLimit,
    per_token: PerTokenLimit,
) -> RuntimeConfig {
    let timeouts = config.timeouts;
    let verifier = Verifier::new(&config.secret, config.algorithm);
    RuntimeConfig {
        verifier: verifier.or_previous(config.previous_secret.as_ref()),
        http: http::Limits {
            max_body: config.max_body,
            request: timeouts.request,
            idle: timeouts.idle,
            write: timeouts.write,
        },
        per_ip,
        per_token,
        max_connections: config.max_connections,
        origins: config.allowed_origins.clone(),
        root_page,
        subscriber: SubscriberConfig {
            queue: config.queue,
            auth_timeout: timeouts.auth,
            session: session::TimeLimits {
                ping_interval: timeouts.ping_interval,
                write: timeouts.write,
            },
            heartbeat,
        },
    }
}

/// Connections to the main port.
impl Serve for State {
    fn admit(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit> {
        self.services.config.load().per_ip.acquire(peer)
    }

    fn serve(&self, connection: net::Connection) {
        let id = connection.id();
        match http::serve(connection, self, self.services.shutdown.clone()) {
            Some(upgraded) => subscribe::serve(upgraded),
            None => debug!("disconnected conn={id} ending=http"),
        }
    }

    fn refuse(&self, reason: Refusal) -> Vec<u8> {
        let error = match reason {
            Refusal::OverIpLimit(over_limit) => {
                subscribe::record_over_ip_limit(over_limit);
                subscribe::over_ip_limit(over_limit)
            }
            Refusal::NoThread => {
                HttpError::new(Status::Unavailable, "no thread is left; try again")
            }
        };
        http::Service::count(self, error.status);
        http::encode(error)
    }
}

/// Requests to the main port.
impl http::Service for State {
    type Upgrade = Subscriber;

    fn limits(&self) -> http::Limits {
        self.services.config.load().http
    }

    fn answer(&self, request: &Request, connection: &mut net::Connection) -> Answer<Subscriber> {
        let config = self.services.config.load();
        api::answer(request, connection, &self.services, &config)
    }

    fn count(&self, status: Status) {
        counters::HTTP_REQUESTS.add_one(status.code().into());
    }
}
