//! Runs every seed through the check of its fuzz target, so that what fuzzing has found stays
//! found on every machine: `cargo test` needs no fuzzer for it.

use std::fs;
use std::panic::{self, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

#[path = "checks/lib.rs"]
mod checks;

/// Held by the one check that runs: some measure the memory of the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// In whatever thread: the server's own end quietly, as they should, but not here.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn replay(target: &str, check: fn(&[u8])) {
    let _turn = TURN.lock();
    count_panics();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/seeds")
        .join(target);
    let seeds = fs::read_dir(&folder).expect("a folder of seeds");
    let mut paths: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder:?} has no seeds");
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
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            usual(panic);
        }));
    });
}

#[test]
fn requests_come_out_the_same_however_they_are_split() {
    replay("http", checks::http::check);
}

#[test]
fn a_session_speaks_websocket_whatever_it_hears() {
    replay("session", checks::session::check);
}

#[test]
fn good_tokens_and_no_others_are_taken() {
    replay("token", checks::token::check);
}

#[test]
fn every_broadcast_is_answered_and_delivered_as_it_was_written() {
    replay("broadcast", checks::broadcast::check);
}

#[test]
fn settings_are_within_their_limits_or_refused() {
    replay("settings", checks::settings::check);
}
