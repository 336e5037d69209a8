//! Runs every seed through the check of its fuzz target, so that `cargo test` repeats what fuzzing
//! has found without a fuzzer.

use std::fs;
use std::panic::{self, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

#[path = "checks/lib.rs"]
mod checks;

/// Held while a check runs: some measure the memory of the whole process.
static RUNNING: Mutex<()> = Mutex::new(());

/// Panics in any thread: the server catches those of its own threads, but here they must fail.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn replay(target: &str, check: fn(&[u8])) {
    let _running = RUNNING.lock();
    count_panics();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/seeds")
        .join(target);
    let seeds = fs::read_dir(&directory).expect("a directory of seeds");
    let mut paths: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{directory:?} has no seeds");
    let failed: Vec<_> = paths
        .iter()
        .filter(|path| {
            let seed = fs::read(path).expect("a seed");
            let before = PANICS.load(Ordering::SeqCst);
            let outcome = catch_unwind(|| check(&seed));
            outcome.is_err() || PANICS.load(Ordering::SeqCst) != before
        })
        .collect();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            default(panic);
        }));
    });
}

#[test]
fn requests_are_decoded_the_same_however_they_are_split() {
    replay("http", checks::http::check);
}

#[test]
fn session_sends_valid_websocket_frames_whatever_it_receives() {
    replay("session", checks::session::check);
}

#[test]
fn valid_tokens_and_no_others_are_accepted() {
    replay("token", checks::token::check);
}

#[test]
fn every_broadcast_is_answered_and_delivered_unchanged() {
    replay("broadcast", checks::broadcast::check);
}

#[test]
fn settings_are_within_their_limits_or_rejected() {
    replay("settings", checks::settings::check);
}
