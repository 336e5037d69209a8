//! The benchmark: Bifrost against the physical limit, measured in the same run.
//!
//! It starts the server and a reference that does nothing but write (`server/reference.rs`),
//! drives both with the same client (`client/`), takes turns between them, and prints medians
//! and ratios (`report.rs`). A bare time says more about the machine than about the server;
//! a ratio survives a noisy neighbour. Every message is checked at every subscriber: a loss, a
//! duplicate or a wrong order fails the run.
//!
//! `cargo bench --bench bench -- --help` tells how to choose what is measured.

#![forbid(unsafe_code)]

mod client;
mod plan;
mod report;
mod scenarios;
mod server;

use std::error::Error;
use std::process::ExitCode;

use plan::Plan;
use report::Report;
use server::{REFERENCE_FLAG, reference};

/// Whatever goes wrong ends the run with a sentence.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        Some(flag) if flag == REFERENCE_FLAG => reference::run(),
        _ => run(&plan::from_arguments()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result {
    let mut report = Report::new(plan.json.as_deref(), plan.judges())?;
    println!("{}", plan.introduction()?);
    for scenario in scenarios::chosen(plan)? {
        (scenario.run)(plan, &mut report).map_err(|error| format!("{}: {error}", scenario.name))?;
    }
    Ok(())
}
