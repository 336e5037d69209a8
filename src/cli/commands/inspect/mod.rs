//! `bifrost token inspect`: the answer to "why do I get 400?"
//!
//! The report lists every reason for which a server with these settings would reject the
//! token. The server's own verifier has the last word on whether it would.

mod content;
mod parts;
mod report;
mod signature;
mod times;

use std::time::SystemTime;

use super::input::{Stdin, keys};
use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::action::TextSource;
use crate::config::{self, Keys, Variables};

use report::{Report, ServerSettings, Verdict};

/// Prints the report.
///
/// # Errors
/// When the settings are wrong, or stdin can't be read.
pub fn run(variables: &Variables, token: &TextSource) -> Result<Status, CommandError> {
    let mut stdin = Stdin::default();
    let secret = if Keys::are_given(variables) {
        Some(keys(variables, &mut stdin)?.secret)
    } else {
        None
    };
    let token = stdin.resolve(token, "the token")?;
    let server = ServerSettings {
        secret,
        previous: Keys::previous(variables)?,
        algorithm: Keys::algorithm(variables)?,
        max_body: config::max_body(variables)?,
        now: SystemTime::now(),
    };
    let report = Report::of(token.trim(), &server);
    output::print(&report.to_string())?;
    Ok(match report.verdict() {
        Verdict::Accepted => Status::Good,
        Verdict::Rejected => Status::Bad,
        Verdict::Unknown => Status::Unknown,
    })
}
