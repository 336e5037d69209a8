//! Bifrost: broadcasts signed messages to browsers over WebSocket.
//!
//! Two journeys, one file each, lead through the house; imports point down only:
//!
//! ```text
//! main ── cli
//!  │  └── commands ── client      (the other end of the wire)
//!  └── server ── house ── routes ── broadcast ──┐
//!        │         │        └ handshake         ├── registry ── line
//!        │         └─────── subscribe ──────────┘           └── outbox ── socket
//!        │                    ├ session        (one connection's thread: poll, read, end)
//!        │                    ├ heartbeat      (one thread that pings them all)
//!        │                    └ event          (what clients say, and are told)
//!        ├ listener, accept, reception, connections ── presence, addresses   (who comes, stays, leaves)
//!        ├ reload     (the settings, read again while it runs)
//!        ├ http       (requests and answers on one connection)
//!        ├ demo
//!        ├ metrics    (a listener of its own, and what Prometheus reads there)
//!        ├ systemd    (what the service manager gives us, and is told)
//!        └ config, token, grant, json, channel, counts, frame, live, log, stop, sync   (leaves)
//! ```
//!
//! * A broadcast: [`server`] accepts, [`house`] has [`http`] read the request, [`routes`] finds
//!   [`broadcast`], which verifies the [`token`], encodes one [`frame`] and hands it to the
//!   [`registry`]; each subscriber's [`outbox`] writes it to its [`socket`].
//! * A subscription: the same front, then [`handshake`] and [`subscribe`], which takes a seat
//!   in the [`registry`] and leaves a fresh thread waiting in a [`session`].

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
