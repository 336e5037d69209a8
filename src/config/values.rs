//! The values of all settings, parsed and within their limits.

use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;

use crate::auth::{Algorithm, Secret};
use crate::http::origin::Origins;
use crate::net::networks::Networks;

/// The time limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How often subscribers are pinged. Default 15 s.
    pub ping_interval: Duration,
    /// From the upgrade to the first good token. Default 10 s.
    pub auth: Duration,
    /// For a request to arrive whole. Default 10 s.
    pub request: Duration,
    /// For a keep-alive connection between requests. Default 75 s.
    pub idle: Duration,
    /// A peer that takes nothing for so long is cut. Default 5 s.
    pub write: Duration,
    /// For shutting down. Default 10 s.
    pub drain: Duration,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The HMAC secret. No default.
    pub secret: Secret,
    /// The secret before it, which still verifies. Default none.
    pub previous_secret: Option<Secret>,
    /// The only algorithm accepted. Default HS512.
    pub algorithm: Algorithm,
    /// Where to listen, a name or an address. Default 0.0.0.0.
    pub host: String,
    /// Where to listen; 0 takes a free port. Default 3000.
    pub port: u16,
    /// Where Prometheus asks; port 0 takes a free one. Default: nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// Open connections, HTTP included. Default: what the file limit allows.
    pub max_connections: Option<usize>,
    /// Open connections of one address. Default: no limit.
    pub max_connections_per_ip: Option<usize>,
    /// Proxies that are believed whom they forward for. Default none.
    pub trusted_proxies: Networks,
    /// Largest request body, in bytes. Default 1 MiB.
    pub max_body: usize,
    /// What may wait for one subscriber, in bytes. Default 1 MiB.
    pub queue: usize,
    /// What may wait for all subscribers, in bytes. Default: a quarter of the memory.
    pub queue_total: usize,
    /// The time limits.
    pub timeouts: Timeouts,
    /// Web pages that may subscribe. Default any.
    pub allowed_origins: Option<Origins>,
    /// The least severe lines that are logged. Default info.
    pub log: LevelFilter,
    /// What was given like a setting, and is none.
    pub unknown: Vec<String>,
}
