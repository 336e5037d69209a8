//! `bifrost completions`: a shell's completions, made from the table of commands.

use clap_complete::{Shell, generate};

use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::table;

/// Prints the script for a shell.
///
/// # Errors
/// When it can't be written.
pub fn run(shell: Shell) -> Result<Status, CommandError> {
    let mut script = Vec::new();
    generate(shell, &mut table::command(), "bifrost", &mut script);
    output::print(&String::from_utf8_lossy(&script)).map(|_| Status::Good)
}
