//! What each command but `serve` and `demo` does, in a file of its own.
//!
//! A command is handed the settings and what was asked for, prints to stdout what it has
//! to say, and gives its exit status or the one sentence of its failure. Nobody here ends
//! the program.

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
pub use outcome::{Failure, Status};
pub use output::{note, print};
pub use secret::run as secret;
pub use serve::{demo, serve};
pub use token::run as token;
pub use unit::run as unit;
