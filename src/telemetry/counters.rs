//! Every counter of the process since its start.
//!
//! The counters are global: a panic hook, the acceptors and the threads of thousands of
//! connections have nothing else in common. Labels are closed sets, all in [`super::labels`].

use super::labels::{
    AuthFailure, BroadcastResult, ClientEvent, CloseCode, HttpStatus, RejectReason,
};
use super::metric_types::{Counter, CounterVec, Histogram, Label};

/// Tokens of subscribers and broadcasts that were rejected, or did not come in time.
pub static AUTH_FAILURES: CounterVec<AuthFailure, { AuthFailure::NAMES.len() }> = CounterVec::new();
/// Subscribers that were cut because they did not read.
pub static SLOW_SUBSCRIBERS_CUT: Counter = Counter::new();
/// Subscribers that were cut because nothing had been received for two ping intervals.
pub static SILENT_SUBSCRIBERS_CUT: Counter = Counter::new();
/// WebSocket clients that were cut because they sent too many messages.
pub static FLOODING_CLIENTS_CUT: Counter = Counter::new();
/// Panics, each of which has cost one connection.
pub static PANICS: Counter = Counter::new();
/// Connections that could not be accepted, or got no thread at once, for want of descriptors, threads
/// or memory.
pub static ACCEPT_FAILURES: Counter = Counter::new();
/// Connections, WebSocket handshakes and requests that were rejected.
pub static REJECTIONS: CounterVec<RejectReason, { RejectReason::NAMES.len() }> = CounterVec::new();
/// WebSocket connections that have ended, by close code.
pub static CLOSES: CounterVec<CloseCode, { CloseCode::NAMES.len() }> = CounterVec::new();
/// Messages of WebSocket clients.
pub static CLIENT_MESSAGES: CounterVec<ClientEvent, { ClientEvent::NAMES.len() }> =
    CounterVec::new();
/// HTTP requests that were answered, upgrades included.
pub static HTTP_REQUESTS: CounterVec<HttpStatus, { HttpStatus::NAMES.len() }> = CounterVec::new();
/// Requests to broadcast that were answered.
pub static BROADCASTS: CounterVec<BroadcastResult, { BroadcastResult::NAMES.len() }> =
    CounterVec::new();
/// The time of a broadcast, from its request being complete to its response being ready.
pub static BROADCAST_DURATION: Histogram = Histogram::new();

/// Tokens that were shown and rejected; those that never came are left out.
pub fn rejected_tokens() -> u64 {
    let shown = AUTH_FAILURES
        .totals()
        .filter(|(name, _)| *name != AuthFailure::TimedOut.name());
    shown.map(|(_, total)| total).sum()
}
