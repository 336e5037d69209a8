//! Faults, floods and crowds: what the server has to survive, tried on the real binary.
//!
//! Each module is one kind of trouble. The tests take minutes and have to run one after the
//! other, as `make torture` does; some need root, for a network or a user of the server's own.
//! Nothing depends on how fast the machine is: what is asserted is who gets what, what it
//! costs compared with what it may cost, and that everything comes to an end.

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod tools;

mod bombs;
mod clock;
mod counters;
mod ending;
mod eviction;
mod exhaustion;
mod footprint;
mod frozen;
mod fullness;
mod garbage;
mod half_open;
mod liars;
mod metrics;
mod panics;
mod per_address;
mod queue_total;
mod reserve;
mod resets;
mod sloth;
