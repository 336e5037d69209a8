//! Runs a scenario in every interleaving, or in many.
//!
//! A scenario is a function that starts threads, joins them and asserts what must hold. It runs
//! repeatedly, each time in another interleaving. Where interleavings are chosen at random,
//! `MODEL_RUNS=10` tries ten times as many, and `MODEL_SEED` chooses others.

#[cfg(feature = "loom")]
pub use loom::thread;
#[cfg(feature = "shuttle")]
pub use shuttle::thread;

#[cfg(not(any(
    all(feature = "loom", not(feature = "shuttle")),
    all(feature = "shuttle", not(feature = "loom"))
)))]
compile_error!("choose a tool: --features loom, or --features shuttle");

/// How many times a thread may be preempted: interrupted where it could have gone on.
///
/// Nearly all bugs need at most two; each further one takes ten times as many interleavings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preemptions {
    /// Every interleaving.
    Any,
    /// Every interleaving with at most so many.
    UpTo(usize),
}

/// Explores a scenario that is small enough for loom.
#[cfg(feature = "loom")]
pub fn explore(preemptions: Preemptions, scenario: fn()) {
    use std::sync::atomic::{AtomicU64, Ordering};

    let mut model = loom::model::Builder::new();
    model.preemption_bound = match preemptions {
        Preemptions::Any => None,
        Preemptions::UpTo(bound) => Some(bound),
    };
    model.max_branches = 20_000;
    let interleavings = std::sync::Arc::new(AtomicU64::new(0));
    let counted = interleavings.clone();
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    println!("{} interleavings", interleavings.load(Ordering::Relaxed));
}

/// Explores a scenario that loom explores too; only loom bounds the preemptions.
#[cfg(feature = "shuttle")]
pub fn explore(_: Preemptions, scenario: fn()) {
    explore_many(3_000, scenario);
}

/// Explores a scenario that is too large for loom, in `runs` random and `runs` PCT interleavings.
#[cfg(feature = "shuttle")]
pub fn explore_many(runs: usize, scenario: fn()) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    /// Preemptions that PCT inserts: bugs rarely need more.
    const DEPTH: usize = 3;

    let runs = runs * number("MODEL_RUNS", 1) as usize;
    let seed = number("MODEL_SEED", 1);
    let mut config = Config::new();
    config.silence_warnings = true; // about orderings that count as SeqCst; see lib.rs
    config.stack_size = 256 * 1024;
    let random = RandomScheduler::new_from_seed(seed, runs);
    Runner::new(random, config.clone()).run(scenario);
    let pct = PctScheduler::new_from_seed(seed, DEPTH, runs);
    Runner::new(pct, config).run(scenario);
}

#[cfg(feature = "shuttle")]
fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else {
        return default;
    };
    match text.parse() {
        Ok(number) if number > 0 => number,
        _ => panic!("{variable} is {text:?}; use a number from 1"),
    }
}
