//! What an operator asks: `/info.json`, `/healthz`, `/readyz`.

use serde::Serialize;

use super::services::Services;
use crate::http::{Response, Status};
use crate::telemetry::counters;

#[derive(Serialize)]
struct Info {
    stats: InfoStats,
    version: &'static str,
    uptime_seconds: u64,
}

#[derive(Serialize)]
struct InfoStats {
    deliveries: u64,
    connected: usize,
    channels: usize,
    subscriptions: usize,
    rejected_tokens: u64,
    slow_subscribers_cut: u64,
    panics: u64,
    queued_bytes: u64,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// `GET /info.json`: counts of this moment and since the start.
pub fn info(services: &Services) -> Response {
    let stats = services.hub.stats();
    let info = Info {
        stats: InfoStats {
            deliveries: stats.deliveries,
            connected: stats.connected,
            channels: stats.channels,
            subscriptions: stats.subscriptions,
            rejected_tokens: counters::rejected_tokens(),
            slow_subscribers_cut: counters::SLOW_SUBSCRIBERS_CUT.total(),
            panics: counters::PANICS.total(),
            queued_bytes: services.queue_budget.bytes(),
        },
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: services.started.elapsed().as_secs(),
    };
    Response::json(Status::Ok, &info)
}

/// `GET /healthz`: the process serves.
pub fn health() -> Response {
    Response::json(Status::Ok, &OK)
}

/// `GET /readyz`: whether a new subscriber would be accepted, and if not, why.
pub fn readiness(services: &Services) -> Response {
    let status = if services.shutdown.is_triggered() {
        "draining"
    } else if !services.connections.can_upgrade() {
        "full"
    } else {
        return health();
    };
    Response::json(Status::Unavailable, &Health { status })
}
