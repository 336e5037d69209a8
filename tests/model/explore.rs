//! Running a scene in every order, or in many.
//!
//! A scene is a function that starts threads, joins them and asserts what must hold. It is
//! run again and again, each time in another order. `MODEL_RUNS=10` tries ten times as many
//! orders where they are chosen at random, `MODEL_SEED` others.

#[cfg(feature = "loom")]
pub use loom::thread;
#[cfg(feature = "shuttle")]
pub use shuttle::thread;

#[cfg(not(any(
    all(feature = "loom", not(feature = "shuttle")),
    all(feature = "shuttle", not(feature = "loom"))
)))]
compile_error!("choose who explores: --features loom, or --features shuttle");

/// How many times a thread may be interrupted where it could have gone on.
///
/// Nearly all bugs need two at most; each one more costs ten times the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preemptions {
    /// Every order there is.
    Any,
    /// Every order with at most so many.
    UpTo(usize),
}

/// Explores a scene that is small enough for loom.
#[cfg(feature = "loom")]
pub fn explore(preemptions: Preemptions, scene: fn()) {
    use std::sync::atomic::{AtomicU64, Ordering};

    let mut model = loom::model::Builder::new();
    model.preemption_bound = match preemptions {
        Preemptions::Any => None,
        Preemptions::UpTo(bound) => Some(bound),
    };
    model.max_branches = 20_000;
    let orders = std::sync::Arc::new(AtomicU64::new(0));
    let counted = orders.clone();
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    println!("{} orders", orders.load(Ordering::Relaxed));
}

/// Explores a scene that loom explores too; there, up to so many preemptions.
#[cfg(feature = "shuttle")]
pub fn explore(_: Preemptions, scene: fn()) {
    explore_many(3_000, scene);
}

/// Explores a scene that is too large for loom, in twice as many orders as `runs` says.
#[cfg(feature = "shuttle")]
pub fn explore_many(runs: usize, scene: fn()) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    /// Preemptions that PCT places: bugs rarely need more.
    const DEPTH: usize = 3;

    let runs = runs * number("MODEL_RUNS", 1) as usize;
    let seed = number("MODEL_SEED", 1);
    let mut config = Config::new();
    config.silence_warnings = true; // that orderings count as SeqCst: lib.rs says so
    config.stack_size = 256 * 1024;
    let random = RandomScheduler::new_from_seed(seed, runs);
    Runner::new(random, config.clone()).run(scene);
    let pct = PctScheduler::new_from_seed(seed, DEPTH, runs);
    Runner::new(pct, config).run(scene);
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
