//! Bifrost: broadcasts signed messages to browsers over WebSocket. This file is the map.
//!
//! Eleven rooms; each imports only rooms below it (`tests/it/rooms.rs` checks that):
//!
//! | room | what it holds | what goes there |
//! | --- | --- | --- |
//! | [`cli`] | the command line: argument table, help, `commands/`, `client/` (the other end of the wire) | a command, a flag of a command |
//! | [`server`] | builds the state, opens listeners, runs, reloads, drains; signals; `systemd/` | what happens at start, reload and shutdown |
//! | [`api`] | what is at which path, one journey a file: routes, `broadcast/`, `subscribe`, `admin`, `metrics/`, `demo` | an HTTP route, a page, a metric's line in `/metrics` |
//! | [`websocket`] | handshake, session (read loop, close), frames, keepalive | what a WebSocket connection does |
//! | [`config`] | the settings: table, reading, checking, what changed | a setting: one row of the table |
//! | [`http`] | HTTP/1.1 on one connection: decoder, head, chunked, response, request loop, `forwarded`, `origin` | how requests are read and responses written |
//! | [`hub`] | channels and their subscribers, `batch` (group commit per channel), `queue/` (per subscriber) | fan-out and backpressure |
//! | [`auth`] | tokens: verifying, signing, keys, publish scope | what a token may say |
//! | [`net`] | socket, listener, acceptor, worker pool, shutdown, `connections/` (permits, state, eviction, per-IP limit) | limits of connections, who is evicted |
//! | [`protocol`] | what both ends know: events, close frames, channel names, limits, JSON text | a close code, an event, a fixed limit |
//! | [`telemetry`] | log, counters and their labels, Prometheus text | a counter, a label |
//!
//! ```text
//! main ── cli ── server ── api ── websocket ──┬── http ──┐
//!                  │                          └── hub ───┼── net, protocol, telemetry
//!                  └── config ── http, auth, net ────────┘
//! ```
//!
//! Two journeys lead through them:
//!
//! * **A broadcast.** [`net::acceptor`] accepts a connection, and a worker thread serves it
//!   ([`server::State`]). [`http::serve()`] decodes the request, and [`api::answer`] finds
//!   [`api::broadcast`], which verifies the token ([`auth::Verifier`]) and hands the message to
//!   [`hub::Hub`]. The channel's [`hub::batch`] gives messages one order; the leader of a batch
//!   encodes it once for each transport and pushes it to the [`hub::queue`] of each subscriber,
//!   which writes it to the socket at once, or lets it wait.
//! * **A subscription.** The same way to [`api::subscribe`], which accepts the handshake
//!   ([`websocket::handshake`]), connects a send queue to the hub, and leaves a fresh thread
//!   waiting in a [`websocket::Session`]. [`websocket::keepalive`] pings it.
//!
//! Beside the code, `src/manual` is the handbook (also `bifrost man PAGE`), and `src/dist` is what
//! packages and proxies need.

#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
pub mod hub;
pub mod net;
pub mod protocol;
pub mod server;
pub mod telemetry;
pub mod websocket;
