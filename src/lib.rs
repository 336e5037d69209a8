//! Bifrost: broadcasts signed messages to browsers over WebSocket. This file is the map.
//!
//! There are eleven rooms, from the top of the program down. Which room may import which is listed
//! in `tests/it/rooms/rules.rs`, and checked. Names in `code` are files and folders of the room.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`cli`] | the command line: `table` (the commands), `arguments` (their flags), `commands/`, `client/` (the HTTP and WebSocket client that the commands use) |
//! | [`server`] | binds `listeners`, builds the `state`, runs, reloads, drains; `systemd/` (socket, readiness, status, watchdog) |
//! | [`api`] | what is at which path: `routes`, `broadcast/`, `subscribe/`, `admin` (`/info.json`, `/healthz`, `/readyz`), `demo`, and `metrics/`, a listener of its own |
//! | [`websocket`] | `handshake`, `session` (reads, closes), `frame_meter` and `rate_limit` (what a client may send), `frame`, `keepalive` (the server's pings), `disconnect` (why a connection ends) |
//! | [`config`] | the settings: `settings/` (the table, a file a topic), reading and checking, `changes` at a reload |
//! | [`http`] | HTTP/1.1 on one connection: `decoder`, `head`, `chunked`, `response`, `serve` (the request loop), `forwarded`, `origin`, `local_host` |
//! | [`hub`] | fan-out: `channels` and their subscribers, `batch` (several messages in one write), `queue/` (what waits for one subscriber) |
//! | [`auth`] | tokens: `verify`, `sign`, `mac` (keys), `publish_scope` |
//! | [`net`] | `socket`, `listener`, `acceptor`, `worker_pool`, `shutdown`, `refusals` (without a thread), `connections/` (how many, what each does, `eviction`, `ip_limit`), `input_budget` (the memory of what arrives) |
//! | [`protocol`] | the words of the wire: `event`, `close_frame`, `channel`, `json`, and the `limits` that no setting changes |
//! | [`telemetry`] | `log`, `counters`, their `labels`, the format that Prometheus reads |
//!
//! ```text
//! cli -> server -> api -> websocket -> http -> net, protocol
//!           |       |         +------> hub --> net
//!           |       +---> auth ------> protocol
//!           +----> config ---> http, auth, net       (all -> telemetry)
//! ```
//!
//! # What to change, by task
//!
//! * **A setting**: a row in `config/settings/`, a field in `config/values.rs`, its row in the test of
//!   `config/changes.rs`. Where it takes effect, by `server/state.rs`: for requests and subscribers
//!   through `api/runtime_config.rs`, for the process through `api/services.rs`; at the start only, in
//!   `server/mod.rs`. Then `make manual`.
//! * **A close code**: `protocol/close_frame.rs` (code and text), `websocket/disconnect.rs` (why a
//!   connection ends), `telemetry/labels.rs` (its counter). It is raised in `websocket/session.rs` or
//!   `api/subscribe/subscriber.rs`. If a client must not try again: `cli/client/subscription.rs`. Then
//!   `src/manual/protocol.md`.
//! * **An HTTP route**: `api/routes.rs` (path, methods, the list for 404), and a file beside it. On the
//!   port of the metrics: `api/metrics/mod.rs`. Then `src/manual/protocol.md`.
//! * **A metric**: `telemetry/counters.rs` (and `telemetry/labels.rs`), the line that counts, its text
//!   in `api/metrics/families.rs`. Then `src/manual/operating.md`.
//! * **Backpressure**, which counts bytes: `hub/queue/writer.rs` cuts off one subscriber,
//!   `hub/queue/budget.rs` the fullest of all, `websocket/session.rs` one that reads nothing for too
//!   long. A queue is given whole batches: what counts messages begins in `hub/subscriber_list.rs`.
//!   Then `make model`.
//! * **Which connection is evicted**: `net/connections/order.rs` (the order),
//!   `net/connections/eviction.rs` (when, and after what wait).
//! * **A budget** for something that clients make the server hold: the part that holds it charges it
//!   (`net/input_budget.rs` is an example) and refuses or closes; a counter or a gauge; a row in the
//!   table of `src/manual/security.md`, and a test of the same name in `tests/it/budgets.rs`.
//! * **What a client sends**: frames in `websocket/session.rs` (tungstenite answers ping frames), JSON
//!   events in `protocol/event.rs` and `api/subscribe/subscriber.rs`.
//! * **Why a token is rejected**: `auth/error.rs`, `auth/verify.rs`, `telemetry/labels.rs`; for what a
//!   subscription needs `api/subscribe/subscriber.rs`. Then `src/manual/operating.md`.
//! * **What systemd is told**: `server/mod.rs` (when, and the status line),
//!   `server/systemd/notify.rs` (the words).
//! * **A command**, or a flag that is no setting: `cli/table.rs`, `cli/arguments.rs`, `cli/action.rs`,
//!   `cli/read.rs`, `cli/help.rs`, then `cli/commands/`.
//!
//! # Two requests, followed from socket to socket
//!
//! * **A broadcast.** [`net::acceptor`] accepts a connection, and a worker thread runs the request
//!   loop on it ([`http::serve()`], with [`server::State`] as the service). [`api::answer`] finds the
//!   route, [`api::broadcast`], which verifies the token ([`auth::Verifier`]) and hands the message to
//!   [`hub::Hub`]. While the channel is sending, further messages for it gather in a batch
//!   ([`hub::batch`]). The thread of a batch's first message encodes it, and pushes it to the
//!   [`hub::queue`] of each subscriber. The queue writes it to the socket at once, or keeps it until
//!   the socket has room.
//! * **A subscription.** The request reaches [`api::subscribe`] the same way. That checks the handshake
//!   ([`websocket::handshake`]) and makes a send queue. In a [`websocket::Session`], the worker thread
//!   waits for a token and joins the channels ([`hub::Subscriptions`]); then the session moves to a
//!   thread of its own, whose stack is untouched, and waits there until the connection ends.
//!
//! Beside the code, `src/manual` holds the manual (also `bifrost man PAGE`) and the build script that
//! makes man pages of it, `src/dist` what packages and proxies need; systemd's units are in
//! `server/systemd/`.

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
