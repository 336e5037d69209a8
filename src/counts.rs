//! What has happened since the start, counted for whoever watches.
//!
//! A leaf. Each is one relaxed atomic in a place of its own: a panic hook and the threads of
//! thousands of connections have nothing else in common.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tokens that were not taken, of subscribers and of broadcasts.
pub static REJECTED_TOKENS: Counter = Counter::new();
/// Subscribers that were cut because they did not read.
pub static SLOW_SUBSCRIBERS_CUT: Counter = Counter::new();
/// Panics, each of which has cost one connection.
pub static PANICS: Counter = Counter::new();

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing has happened yet.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// It has happened once more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has happened.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new()
    }
}
