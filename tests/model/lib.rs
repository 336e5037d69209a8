//! The outbox, the line and the registry as they are shipped, on tools that explore.
//!
//! The room `hub` is compiled from `src/` unchanged. Only what it imports of the room `net` is
//! replaced: [`net::sync`] hands out the tools of loom or shuttle, and [`net::socket`] has a socket with
//! room for a few bytes, a peer that reads it or is gone, and a bell that can be looked at.
//! Cargo features choose the tool, not `--cfg loom`, which `bytes` would take for itself too.
//!
//! What **loom** shows, for scenes of two or three threads and a few frames each: *every*
//! order of the steps (up to the number of preemptions that the scene names, where it names
//! one), and every stale value that a thread may read under the C11 memory model. Here even
//! less is taken for granted than the shipped code asks for: of its atomics, `SeqCst` counts
//! as acquire and release, and the queue is no stronger, so its fences have to do their work.
//!
//! What **shuttle** shows, for the same scenes and for larger ones with an owner that sleeps
//! and a peer that reads: many thousand orders, chosen at random and by PCT (few preemptions,
//! at the worst places), from fixed seeds. All threads see one order of memory, so it says
//! nothing about fences; and what it has not tried may still fail.
//!
//! What must hold at the end of each scene: every frame that was taken came whole, once and
//! in its sender's order, or was dropped as it may be; what still waits has called its owner;
//! all threads end; and the counts of bytes, deliveries and seats are exact.
//!
//! Neither shows anything about crossbeam, parking_lot, the kernel or the clock: a queue here
//! hands over whole frames, a lock has no timeouts, and no time passes.

#![forbid(unsafe_code)]

pub mod explore;
pub mod net;

#[path = "../../src/hub/mod.rs"]
pub mod hub;
