//! What has happened since the start, counted for whoever watches.
//!
//! Above only `token`, whose reasons it counts. The counters are global: a panic hook, the
//! accept loops and the threads of thousands of connections have nothing else in common. What each may be labelled with is a closed set,
//! so that nothing a client sends can make the counts grow. `counter` holds the tools.

pub use super::counter::{Counter, CounterVec, Histogram, Label, Observed};
pub use super::labels::{
    AuthFailure, BroadcastResult, ClientEvent, CloseCode, HttpStatus, RejectReason,
};

/// Tokens that were not taken, of subscribers and of broadcasts, and those that never came.
pub static AUTH_FAILURES: CounterVec<AuthFailure, { AuthFailure::NAMES.len() }> = CounterVec::new();
/// Subscribers that were cut because they did not read.
pub static SLOW_SUBSCRIBERS_CUT: Counter = Counter::new();
/// Subscribers that were cut because nothing came from them any more.
pub static SILENT_SUBSCRIBERS_CUT: Counter = Counter::new();
/// Panics, each of which has cost one connection.
pub static PANICS: Counter = Counter::new();
/// Connections that could not be taken in for want of descriptors, threads or memory.
pub static ACCEPT_FAILURES: Counter = Counter::new();
/// Those who wanted to stay and were turned away.
pub static REJECTIONS: CounterVec<RejectReason, { RejectReason::NAMES.len() }> = CounterVec::new();
/// WebSocket connections that have ended.
pub static CLOSES: CounterVec<CloseCode, { CloseCode::NAMES.len() }> = CounterVec::new();
/// Messages of WebSocket clients.
pub static CLIENT_MESSAGES: CounterVec<ClientEvent, { ClientEvent::NAMES.len() }> =
    CounterVec::new();
/// HTTP requests that were answered, upgrades included.
pub static HTTP_REQUESTS: CounterVec<HttpStatus, { HttpStatus::NAMES.len() }> = CounterVec::new();
/// Broadcasts that were answered.
pub static BROADCASTS: CounterVec<BroadcastResult, { BroadcastResult::NAMES.len() }> =
    CounterVec::new();
/// How long a broadcast took, from the request being whole to the answer being ready.
pub static BROADCAST_DURATION: Histogram = Histogram::new();

/// Tokens that were shown and not taken.
pub fn rejected_tokens() -> u64 {
    let shown = AUTH_FAILURES
        .totals()
        .filter(|(name, _)| *name != AuthFailure::TimedOut.name());
    shown.map(|(_, total)| total).sum()
}
