//! Torture tests: faults, floods and exhausted resources, tried on the real binary.
//!
//! Each module covers one kind of fault. The tests take minutes and must run one after the
//! other, as `make torture` does. Some need root, to give the server a network or a user of
//! its own. No assertion depends on the speed of the machine: the tests assert which client
//! receives what, what the server uses compared with its limits, and that every wait ends.

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod tools;

mod attackers;
mod bad_tokens;
mod clock_jumps;
mod connection_limit;
mod counters;
mod eviction;
mod floods;
mod footprint;
mod frozen;
mod half_bodies;
mod half_open;
mod json_bombs;
mod leftovers;
mod malformed_input;
mod metrics;
mod panics;
mod per_ip_limit;
mod queue_budget;
mod reloads;
mod reserved_connections;
mod resets;
mod resource_exhaustion;
mod shutdown;
mod slow_clients;
mod suspended;
mod tiny_broadcasts;
