//! Bifrost: broadcasts signed messages to browsers over WebSocket. This file is the map.
//!
//! Eleven rooms. A room imports only rooms below it; exactly which is listed in
//! `tests/it/rooms/rules.rs`, and checked. Names in `code` are files and folders of the room.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`cli`] | the command line: `table` (the commands), `arguments` (their flags), `commands/`, `client/` (the HTTP and WebSocket client that the commands use) |
//! | [`server`] | builds the `state`, opens `listeners`, runs, reloads, drains; `systemd/` (socket, readiness, status, watchdog) |
//! | [`api`] | the HTTP `routes`, a file or folder each: `broadcast/`, `subscribe/`, `admin` (health, counters), `metrics/`, `demo` |
//! | [`websocket`] | `handshake`, `session` (reads, closes), `frame`, `keepalive` (the server's pings), `disconnect` (why a connection ends) |
//! | [`config`] | the settings: `settings/` (the table, a file a topic), reading and checking, `changes` at a reload |
//! | [`http`] | HTTP/1.1 on one connection: `decoder`, `head`, `chunked`, `response`, `serve` (the request loop), `forwarded`, `origin` |
//! | [`hub`] | fan-out: `channels` and their subscribers, `batch` (messages that meet share a write), `queue/` (what waits for one subscriber) |
//! | [`auth`] | tokens: `verify`, `sign`, `mac` (keys), `publish_scope` |
//! | [`net`] | `socket`, `listener`, `acceptor`, `worker_pool`, `shutdown`, `connections/` (how many, what each does, `eviction`, `ip_limit`) |
//! | [`protocol`] | what server and client both know: `event`, `close_frame`, `channel`, JSON text, `limits` that no setting changes |
//! | [`telemetry`] | `log`, `counters`, their `labels`, the text that Prometheus reads |
//!
//! ```text
//! cli -> server -> api -> websocket -> hub, http -> net, protocol
//!           |       +---> auth -------------------> protocol
//!           +----> config -> http, auth, net        (all -> telemetry)
//! ```
//!
//! # What to change for
//!
//! * **A setting**: a row in `config/settings/`, a field in `config/values.rs`. Where it takes effect:
//!   `server/state.rs`, which hands it on as part of `api/runtime_config.rs`. Then `make manual`.
//! * **A close code**: `protocol/close_frame.rs` (code and text), `websocket/disconnect.rs` (why a
//!   connection ends), `telemetry/labels.rs` (its counter). Then `src/manual/protocol.md`.
//! * **An HTTP route**: `api/routes.rs` (path, methods, the list for 404), and a file beside it.
//! * **A metric**: `telemetry/counters.rs` (and `labels.rs`), the line that counts, its text in
//!   `api/metrics/families.rs`. Then `src/manual/operating.md`.
//! * **Backpressure**: in bytes; `hub/queue/writer.rs` for one subscriber, `hub/queue/budget.rs` for all,
//!   `websocket/session.rs` for the time that a client may take nothing. Then `make model`.
//! * **Which connection is evicted**: `net/connections/entry.rs` (the order), `eviction.rs` (how).
//! * **Why a token is rejected**: `auth/error.rs`, `auth/verify.rs`, `telemetry/labels.rs`.
//! * **A flag of a command**: `cli/arguments.rs`, `action.rs` and `read.rs`, then the command in
//!   `cli/commands/`.
//!
//! # Two requests, followed from socket to socket
//!
//! * **A broadcast.** [`net::acceptor`] accepts a connection, and a worker thread runs the request
//!   loop on it ([`http::serve()`], with [`server::State`] as the service). [`api::answer`] finds the
//!   route, [`api::broadcast`], which verifies the token ([`auth::Verifier`]) and hands the message to
//!   [`hub::Hub`]. Messages to one channel that arrive together form a batch ([`hub::batch`]): the
//!   thread of the first one encodes it, and pushes it to the [`hub::queue`] of each subscriber. The
//!   queue writes it to the socket at once, or keeps it until the socket has room.
//! * **A subscription.** It reaches [`api::subscribe`] the same way, which checks the handshake
//!   ([`websocket::handshake`]), makes a send queue, and starts a thread of its own for the
//!   connection. That waits in a [`websocket::Session`] for a token, and then joins the channels
//!   ([`hub::Subscriptions`]).
//!
//! Beside the code, `src/manual` holds the manual (also `bifrost man PAGE`), and `src/dist` is what
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
