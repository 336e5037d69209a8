//! Everything that a reload of the settings may change.

use std::time::Duration;

use super::root_page::RootPage;
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
    /// Most connections, if configured.
    pub max_connections: Option<usize>,
    /// The pages that may subscribe; any, if none are configured.
    pub origins: Option<Origins>,
    /// What is at `/`.
    pub root_page: RootPage,
    /// What a new subscriber gets.
    pub subscriber: SubscriberConfig,
}

/// The configuration of a new subscriber, which keeps it.
#[derive(Clone)]
pub struct SubscriberConfig {
    /// Most bytes that wait in its send queue.
    pub queue: usize,
    /// From the upgrade to the first valid token.
    pub auth_timeout: Duration,
    /// The time limits of its session.
    pub session: session::Limits,
    /// Pings it.
    pub heartbeat: Heartbeat,
}
