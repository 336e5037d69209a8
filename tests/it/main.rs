//! What Bifrost promises, tested from outside: the real binary, spoken to over TCP.
//!
//! Each module is one topic. A failing test shows the server's log. Only `rooms` reads the server's
//! code, and nothing depends on how fast the machine is.

mod support;

mod broadcast;
mod budgets;
mod cli_broadcast;
mod cli_inspect;
mod cli_listen;
mod cli_operations;
mod cli_token;
mod concurrency;
mod connection_limit;
mod demo;
mod documents;
mod frames;
mod handshake;
mod http_errors;
mod http_leniency;
mod http_requests;
mod info;
mod input_budget;
mod logs;
mod message_rate;
mod metrics;
mod metrics_listener;
mod per_ip_limit;
mod prometheus_text;
mod publisher_token;
mod queue_budget;
mod reload;
mod rooms;
mod secret_rotation;
mod settings;
mod settings_slips;
mod shutdown;
mod slow_subscribers;
mod subscribe;
mod systemd;
mod timeouts;
mod token_limit;
