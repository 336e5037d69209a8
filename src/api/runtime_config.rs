//! Everything that a reload of the settings may change.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::root_page::RootPage;
use super::token_limit::PerTokenLimit;
use crate::auth::Verifier;
use crate::http::{self, Origins};
use crate::net::connections::PerIpLimit;
use crate::websocket::{Heartbeat, session};

/// The configuration in force, replaced as a whole by a reload.
pub struct RuntimeConfig {
    /// Verifies the tokens of broadcasts and subscribers.
    pub verifier: Verifier,
    /// The limits of HTTP requests and responses.
    pub http: http::Limits,
    /// The limit of connections per IP address.
    pub per_ip: PerIpLimit,
    /// The limit of subscribers per token.
    pub per_token: PerTokenLimit,
    /// Most connections, if configured.
    pub max_connections: Option<usize>,
    /// The pages that may subscribe; any, if none are configured.
    pub origins: Option<Origins>,
    /// What is at `/`.
    pub root_page: RootPage,
    /// What a new subscriber gets.
    pub subscriber: SubscriberConfig,
}

/// A handle on the configuration in force; clones share it.
///
/// A lock around one pointer. The crate arc-swap, which is made for this, does not fit a thread for
/// each connection: a thread that reads for the first time searches a list of all that have. With
/// 9,000 idle connections, a new one cost 600 µs of CPU so, and costs 180 µs with the lock.
#[derive(Clone)]
pub struct CurrentConfig(Arc<RwLock<Arc<RuntimeConfig>>>);

impl CurrentConfig {
    /// A handle on this configuration.
    pub fn new(config: RuntimeConfig) -> CurrentConfig {
        CurrentConfig(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// The configuration at this moment. A reload does not change what was loaded before.
    pub fn load(&self) -> Arc<RuntimeConfig> {
        self.0.read().clone()
    }

    /// Puts another configuration into force.
    pub fn store(&self, config: RuntimeConfig) {
        let new = Arc::new(config);
        let old = std::mem::replace(&mut *self.0.write(), new);
        drop(old); // perhaps the last handle on it: without the lock
    }
}

/// The configuration of a new subscriber, which keeps it.
#[derive(Clone)]
pub struct SubscriberConfig {
    /// Most bytes that wait in its send queue.
    pub queue: usize,
    /// Longest time from the upgrade to the first valid token.
    pub auth_timeout: Duration,
    /// The time limits of its session.
    pub session: session::TimeLimits,
    /// Pings it.
    pub heartbeat: Heartbeat,
}
