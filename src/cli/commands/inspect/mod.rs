//! `bifrost token inspect`: the answer to "why do I get 400?"
//!
//! The report names every reason for which a server with these settings would refuse the
//! token. Whether it would is not guessed: the server's own verifier has the last word.

mod content;
mod form;
mod report;
mod signature;
mod times;

use std::time::SystemTime;

use super::input::{Stdin, keys};
use super::{Failure, Status, output};
use crate::cli::Text;
use crate::config::{self, Keys, Variables};

use report::{Judge, Report, Verdict};

/// Prints the report.
///
/// # Errors
/// When the settings are wrong, or stdin can't be read.
pub fn run(variables: &Variables, token: &Text) -> Result<Status, Failure> {
    let mut stdin = Stdin::default();
    let secret = match Keys::are_given(variables) {
        true => Some(keys(variables, &mut stdin)?.secret),
        false => None,
    };
    let token = stdin.resolve(token, "the token")?;
    let judge = Judge {
        secret,
        previous: Keys::previous(variables)?,
        algorithm: Keys::algorithm(variables)?,
        max_body: config::max_body(variables)?,
        now: SystemTime::now(),
    };
    let report = Report::of(token.trim(), &judge);
    output::print(&report.to_string())?;
    Ok(match report.verdict() {
        Verdict::Taken => Status::Good,
        Verdict::Refused => Status::Bad,
        Verdict::Unknown => Status::Unknown,
    })
}
