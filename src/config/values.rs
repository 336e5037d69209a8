//! The values of all settings, parsed and within their limits.
//!
//! Defaults and meaning stand in the settings table; here is what the server works with.

use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;

use crate::auth::{Algorithm, Secret};
use crate::http::origin::Origins;
use crate::net::networks::Networks;

/// The time limits of connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// The time between two pings to a subscriber.
    pub ping_interval: Duration,
    /// The longest time from the upgrade to the first good token.
    pub auth: Duration,
    /// The longest time for a request to arrive whole.
    pub request: Duration,
    /// The longest time that a keep-alive connection is open between two requests.
    pub idle: Duration,
    /// The longest time that a peer may take no byte of what is written to it.
    pub write: Duration,
    /// The longest time for shutting down.
    pub drain: Duration,
}

/// The values of all settings, each within its limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// The HMAC secret that signs and verifies.
    pub secret: Secret,
    /// The previous secret, which only verifies.
    pub previous_secret: Option<Secret>,
    /// The only algorithm accepted.
    pub algorithm: Algorithm,
    /// The host to listen on, a name or an address.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The address of the listener for Prometheus, if there is to be one; port 0 takes a free one.
    pub metrics_addr: Option<SocketAddr>,
    /// The most open connections, HTTP included; nothing means what the limits of files and threads allow.
    pub max_connections: Option<usize>,
    /// The most open connections of one address; nothing means no limit.
    pub max_connections_per_ip: Option<usize>,
    /// The most subscribers with the same `sub`, or the same token; nothing means no limit.
    pub max_connections_per_token: Option<usize>,
    /// The proxies that are trusted to name the client's address.
    pub trusted_proxies: Networks,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The most that may arrive from all clients at the same time, in bytes.
    pub input_total: usize,
    /// The most that may wait for one subscriber, in bytes.
    pub queue: usize,
    /// The most that may wait for all subscribers together, in bytes.
    pub queue_total: usize,
    /// The time limits.
    pub timeouts: Timeouts,
    /// The web pages that may subscribe; nothing means any.
    pub allowed_origins: Option<Origins>,
    /// The least severe lines that are logged.
    pub log: LevelFilter,
    /// The names that look like a setting's but are none, for warnings.
    pub unknown: Vec<String>,
}

impl Config {
    /// Zero, empty or none in every field: what the rows of the table are read into. It is not
    /// a usable configuration, and does not leave this folder.
    pub(super) fn unread() -> Config {
        Config {
            secret: Secret::new(Vec::new()),
            previous_secret: None,
            algorithm: Algorithm::HS512,
            host: String::new(),
            port: 0,
            metrics_addr: None,
            max_connections: None,
            max_connections_per_ip: None,
            max_connections_per_token: None,
            trusted_proxies: Networks::default(),
            max_body: 0,
            input_total: 0,
            queue: 0,
            queue_total: 0,
            timeouts: Timeouts::default(),
            allowed_origins: None,
            log: LevelFilter::Off,
            unknown: Vec::new(),
        }
    }
}
