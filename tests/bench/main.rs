//! The benchmark: Bifrost against the physical limit, measured in the same run.
//!
//! It starts the server and a reference that does nothing but write (`server/reference.rs`),
//! drives both with the same client (`client/`), alternates between them, and prints medians
//! and ratios (`report.rs`). An absolute time says more about the machine than about the server;
//! a ratio depends less on what else runs. Every message is checked at every subscriber: a loss, a
//! duplicate or a wrong order fails the run.
//!
//! `cargo bench --bench bench -- --help` lists the options.

#![forbid(unsafe_code)]

mod client;
mod options;
mod report;
mod scenarios;
mod server;

use std::error::Error;
use std::process::ExitCode;

use options::Options;
use report::Report;
use server::{REFERENCE_FLAG, reference};

/// Every error ends the run with a message.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        Some(flag) if flag == REFERENCE_FLAG => reference::run(),
        _ => run(&options::from_arguments()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result {
    let mut report = Report::new(options.json.as_deref(), options.goals())?;
    println!("{}", options.environment()?);
    for scenario in scenarios::chosen(options)? {
        (scenario.run)(options, &mut report)
            .map_err(|error| format!("{}: {error}", scenario.name))?;
    }
    Ok(())
}
