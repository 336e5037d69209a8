//! The command line.
//!
//! `table` lists the commands, and turns what was typed into an [`Action`]; [`commands`] do
//! the work, those that speak to a server through [`client`]. [`variables()`] collects the
//! settings from flags, the environment and a `.env` file.

pub mod action;
mod arguments;
pub mod client;
pub mod commands;
mod help;
mod manual;
mod read;
mod table;
mod variables;

pub use action::Action;
pub use table::{Invocation, parse};
pub use variables::variables;
