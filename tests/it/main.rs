//! What Bifrost promises, tested from outside: the real binary, spoken to over TCP.
//!
//! Each module is one theme. A failing test shows the server's log. Nothing here looks at the
//! server's code, and nothing depends on how fast the machine is.

mod support;

mod addresses;
mod broadcast;
mod cli_broadcast;
mod cli_inspect;
mod cli_listen;
mod cli_operations;
mod cli_token;
mod crowd;
mod demo;
mod exposition;
mod frames;
mod handshake;
mod http_lenient;
mod http_refusals;
mod http_requests;
mod info;
mod logs;
mod metrics;
mod metrics_listener;
mod publisher;
mod queue_total;
mod readme;
mod reload;
mod rooms;
mod rotation;
mod settings;
mod settings_slips;
mod shutdown;
mod slow;
mod subscribe;
mod systemd;
mod timing;
