//! The hub as it is shipped, on tools that explore how threads may take turns.
//!
//! The room `hub` is compiled from `src/` unchanged. Only what it imports of the room `net` is
//! replaced: [`net::sync`] hands out the tools of loom or shuttle, [`net::socket`] has a socket with
//! room for a few bytes and a peer that reads it or is gone, and [`net::waker`] has a waker that can
//! be looked at. Cargo features choose the tool, not `--cfg loom`, which `bytes` would take for
//! itself too.
//!
//! **loom** shows, for scenarios of two or three threads and a few frames each, *every* order of
//! the steps (up to the number of preemptions that the scenario names, where it names one), and
//! every stale value that a thread may read under the C11 memory model. It assumes even less than
//! the shipped code asks for: of its atomics, `SeqCst` counts as acquire and release, and the queue
//! is no stronger, so the fences have to do their work.
//!
//! **shuttle** shows, for the same scenarios and for larger ones with an owner that sleeps and a
//! peer that reads, many thousand orders, chosen at random and by PCT (few preemptions, at the
//! worst places), from fixed seeds. All threads see one order of memory, so it says nothing about
//! fences; and an order that it has not tried may still fail.
//!
//! At the end of each scenario: every accepted frame arrived whole, once and in its sender's order,
//! or was dropped as it may be; the owner was woken for what still waits; all threads end; and the
//! counts of bytes, deliveries and subscribers are exact.
//!
//! Neither shows anything about crossbeam, parking_lot, the kernel or the clock: a queue here hands
//! over whole frames, a lock has no timeouts, and no time passes.

#![forbid(unsafe_code)]

pub mod explore;
pub mod net;

#[path = "../../src/hub/mod.rs"]
pub mod hub;
pub mod session;
