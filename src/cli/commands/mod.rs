//! The commands, a file each.
//!
//! A command gets the settings and its arguments, prints to stdout, and returns an exit status
//! or an error. None of them ends the process.

mod broadcast;
mod check;
mod claims;
mod completions;
mod health;
mod input;
mod inspect;
mod listen;
mod man;
mod outcome;
mod output;
mod secret;
mod serve;
mod token;
mod unit;

pub use broadcast::run as broadcast;
pub use check::run as check;
pub use completions::run as completions;
pub use health::run as health;
pub use inspect::run as inspect;
pub use listen::run as listen;
pub use man::run as man;
pub use outcome::{CommandError, Status};
pub use output::{note, print};
pub use secret::run as secret;
pub use serve::{demo, serve};
pub use token::run as token;
pub use unit::run as unit;
