//! `GET /subscribe`: from the handshake to the end of a WebSocket connection.
//!
//! This file is the route: it checks the handshake and the limits, and connects the subscriber to
//! the hub. `subscriber` is what follows: the token, the channels, the client's messages, the end.

mod subscriber;

use log::warn;

pub use subscriber::{STACK_SIZE, Subscriber, serve};

use super::runtime_config::RuntimeConfig;
use super::services::Services;
use crate::http::forwarded::{self, Client};
use crate::http::{Answer, Head, HttpError, Status};
use crate::net;
use crate::net::connections::{IpPermit, OverIpLimit, PerIpLimit};
use crate::telemetry::counters;
use crate::telemetry::labels::RejectReason;
use crate::telemetry::throttle::Throttle;
use crate::websocket::handshake::{self, HandshakeError};

/// Most characters of a foreign origin that are logged: it may be as long as a head.
const LOGGED_ORIGIN: usize = 100;

static REJECTED_ORIGINS: Throttle = Throttle::new();
static OVER_IP_LIMIT: Throttle = Throttle::new();

/// Answers a handshake. Nothing is evicted for one that is rejected for another reason, unless it is
/// for want of descriptors. One that waits for an eviction counts towards its IP address meanwhile.
pub fn answer(
    head: &Head,
    connection: &mut net::Connection,
    services: &Services,
    config: &RuntimeConfig,
) -> Answer<Subscriber> {
    let accepted = match handshake::accept(head, config.origins.as_ref()) {
        Ok(accepted) => accepted,
        Err(error) => {
            counters::REJECTIONS.add_one(error.label());
            log_origin(&error);
            return Answer::Respond(error.into());
        }
    };
    if services.shutdown.is_triggered() {
        return reject(RejectReason::Draining, "the server is restarting");
    }
    let ip_permit = match acquire_ip_permit(head, connection, &config.per_ip) {
        Ok(ip_permit) => ip_permit,
        Err(over_limit) => {
            record_over_ip_limit(over_limit);
            return Answer::Respond(over_ip_limit(over_limit).into());
        }
    };
    if !services.connections.evict_for_upgrade() {
        return reject(RejectReason::Full, "the server is full; try again later");
    }
    if let Some(ip_permit) = ip_permit {
        connection.ip_permit = ip_permit;
    }
    match Subscriber::connect(connection, services, config.subscriber.clone()) {
        Some(subscriber) => Answer::Upgrade(accepted, subscriber),
        None => {
            counters::REJECTIONS.add_one(RejectReason::NoDescriptors);
            let message = "no file descriptors left; try again";
            Answer::Reject(HttpError::new(Status::Unavailable, message))
        }
    }
}

fn reject(reason: RejectReason, message: &str) -> Answer<Subscriber> {
    counters::REJECTIONS.add_one(reason);
    Answer::Respond(HttpError::new(Status::Unavailable, message).into())
}

/// Counts a client behind a trusted proxy towards the limit of its own address, which the proxy
/// gives; one that the proxy hides, towards the proxy's. Every other connection counts since it was
/// accepted.
fn acquire_ip_permit(
    head: &Head,
    connection: &net::Connection,
    per_ip: &PerIpLimit,
) -> Result<Option<IpPermit>, OverIpLimit> {
    if !per_ip.is_trusted(connection.peer) {
        return Ok(None);
    }
    let permit = match forwarded::client(head, |address| per_ip.is_trusted(address)) {
        Client::Unlisted => return Ok(None),
        Client::Known(client) => per_ip.acquire(client)?,
        Client::Unreadable => per_ip.acquire_hidden(connection.peer)?,
    };
    Ok(Some(permit).filter(IpPermit::is_counted))
}

/// The error for a connection over the limit of its IP address.
pub fn over_ip_limit(over_limit: OverIpLimit) -> HttpError {
    HttpError::new(Status::Unavailable, over_limit.to_string())
}

/// Counts and logs a connection over the limit of its IP address.
pub fn record_over_ip_limit(over_limit: OverIpLimit) {
    counters::REJECTIONS.add_one(RejectReason::PerAddress);
    if let Some(suppressed) = OVER_IP_LIMIT.pass() {
        warn!("connection refused reason=\"{over_limit}\" suppressed={suppressed}");
    }
}

/// Logs the origin that was rejected. Its text is the client's, so it is cut and escaped.
fn log_origin(error: &HandshakeError) {
    let HandshakeError::Origin(origin) = error else {
        return;
    };
    if let Some(suppressed) = REJECTED_ORIGINS.pass() {
        let origin: String = origin.chars().take(LOGGED_ORIGIN).collect();
        warn!(
            "subscriber refused status=403 origin={origin:?} \
             reason=\"not in BIFROST_ALLOWED_ORIGINS\" suppressed={suppressed}"
        );
    }
}
