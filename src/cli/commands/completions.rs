//! `bifrost completions`: made from the table of commands.

use clap_complete::{Shell, generate};

use super::outcome::{Failure, Status};
use super::output;
use crate::cli::table;

/// Prints what the shell reads.
///
/// # Errors
/// When it can't be written.
pub fn run(shell: Shell) -> Result<Status, Failure> {
    let mut script = Vec::new();
    generate(shell, &mut table::command(), "bifrost", &mut script);
    output::print(&String::from_utf8_lossy(&script)).map(|_| Status::Good)
}
