//! `bifrost completions`: made from the table of commands.

use clap_complete::{Shell, generate};

use super::{Failure, Status, output};
use crate::cli;

/// Prints what the shell reads.
///
/// # Errors
/// When it can't be written.
pub fn run(shell: Shell) -> Result<Status, Failure> {
    let mut script = Vec::new();
    generate(shell, &mut cli::command(), "bifrost", &mut script);
    output::print(&String::from_utf8_lossy(&script)).map(|_| Status::Good)
}
