//! The page of metrics: every metric with its name and help.
//!
//! No metric has a channel, an address or anything else that clients choose for a label, so the
//! number of time series is fixed.

use super::process;
use crate::api::services::Services;
use crate::telemetry::counters;
use crate::telemetry::prometheus::Page;

/// The whole page, at this moment.
pub fn page(services: &Services) -> String {
    let mut page = Page::default();
    page.info(
        "bifrost_build_info",
        "The version that is running; always 1.",
        "version",
        env!("CARGO_PKG_VERSION"),
    );
    page.gauge(
        "bifrost_draining",
        "Whether the server is draining before it stops.",
        services.shutdown.is_triggered(),
    );
    write_connections(&mut page, services);
    write_websockets(&mut page, services);
    write_broadcasts(&mut page, services);
    write_queues(&mut page, services);
    process::write(&mut page);
    page.into_text()
}

fn write_connections(page: &mut Page, services: &Services) {
    let occupancy = services.connections.occupancy();
    page.gauge(
        "bifrost_connections",
        "Open connections, HTTP and WebSocket.",
        occupancy.open,
    );
    page.gauge(
        "bifrost_connections_limit",
        "How many connections may be open, without the reserve for plain HTTP.",
        occupancy.limit,
    );
    page.counter(
        "bifrost_connections_accepted_total",
        "Connections that were accepted.",
        occupancy.accepted,
    );
    page.counter(
        "bifrost_connections_evicted_total",
        "Connections that were evicted to make room for another one.",
        occupancy.evicted,
    );
    page.counter_vec(
        "bifrost_connections_rejected_total",
        "Connections, WebSocket handshakes and requests that were rejected.",
        "reason",
        &counters::REJECTIONS,
    );
    page.counter(
        "bifrost_accept_failures_total",
        "Connections that could not be accepted for want of descriptors, threads or memory.",
        counters::ACCEPT_FAILURES.total(),
    );
    page.counter_vec(
        "bifrost_http_requests_total",
        "Requests by the status of the answer; 101 is a WebSocket that was opened.",
        "code",
        &counters::HTTP_REQUESTS,
    );
    page.counter(
        "bifrost_panics_total",
        "Panics, each of which has cost one connection.",
        counters::PANICS.total(),
    );
}

fn write_websockets(page: &mut Page, services: &Services) {
    let stats = services.hub.stats();
    page.gauge(
        "bifrost_websockets",
        "Open WebSocket connections.",
        stats.connected,
    );
    page.counter_vec(
        "bifrost_websockets_closed_total",
        "WebSocket connections that ended, by the code of the first close frame, of either side.",
        "code",
        &counters::CLOSES,
    );
    page.counter_vec(
        "bifrost_client_messages_total",
        "Messages that WebSocket clients have sent.",
        "event",
        &counters::CLIENT_MESSAGES,
    );
    page.counter_vec(
        "bifrost_auth_failures_total",
        "Tokens of subscribers and broadcasts that were rejected, or did not come in time.",
        "reason",
        &counters::AUTH_FAILURES,
    );
    page.counter(
        "bifrost_slow_subscribers_cut_total",
        "WebSocket connections that were cut because they did not read.",
        counters::SLOW_SUBSCRIBERS_CUT.total(),
    );
    page.counter(
        "bifrost_silent_subscribers_cut_total",
        "WebSocket connections that were cut because they did not answer pings.",
        counters::SILENT_SUBSCRIBERS_CUT.total(),
    );
    page.counter(
        "bifrost_flooding_clients_cut_total",
        "WebSocket connections that were cut because they sent too many messages.",
        counters::FLOODING_CLIENTS_CUT.total(),
    );
    page.gauge(
        "bifrost_channels",
        "Channels with at least one subscriber.",
        stats.channels,
    );
    page.gauge(
        "bifrost_subscriptions",
        "Pairs of a WebSocket connection and a channel that it listens to.",
        stats.subscriptions,
    );
}

fn write_broadcasts(page: &mut Page, services: &Services) {
    let stats = services.hub.stats();
    page.counter_vec(
        "bifrost_broadcasts_total",
        "Requests to broadcast that were answered.",
        "result",
        &counters::BROADCASTS,
    );
    page.histogram(
        "bifrost_broadcast_duration_seconds",
        "Time from the complete arrival of a broadcast request to its response being ready.",
        &counters::BROADCAST_DURATION.observed(),
    );
    page.counter(
        "bifrost_deliveries_total",
        "Messages handed to subscribers by broadcasts.",
        stats.deliveries,
    );
    page.counter(
        "bifrost_delivered_bytes_total",
        "WebSocket frames of those messages, header and payload, once for each delivery.",
        stats.delivered_bytes,
    );
}

fn write_queues(page: &mut Page, services: &Services) {
    page.gauge(
        "bifrost_queue_bytes",
        "Bytes that wait in the send queues of all subscribers.",
        services.queue_budget.bytes(),
    );
    page.gauge(
        "bifrost_queue_limit_bytes",
        "Most bytes that may wait in the send queues of all subscribers.",
        services.queue_budget.limit(),
    );
    page.gauge(
        "bifrost_input_bytes",
        "Bytes that requests and messages take while they arrive and are handled.",
        services.input_budget.bytes(),
    );
    page.gauge(
        "bifrost_input_limit_bytes",
        "Most bytes that requests and messages may take while they arrive and are handled.",
        services.input_budget.limit(),
    );
}
