//! The settings: one table that says how each is parsed, shown, reloaded and documented, and
//! the checked result.
//!
//! Variables come in as pairs, wherever they were found. A [`Config`] comes out, whose values
//! need no further check.

mod available_memory;
mod changes;
mod checks;
mod error;
#[cfg(test)]
pub mod fixtures;
mod keys;
mod listen_address;
mod load;
#[cfg(test)]
mod manual;
mod reader;
mod secret_lint;
mod setting;
mod settings;
mod units;
mod values;
mod variables;

pub use crate::http::origin::Origins;
pub use crate::net::networks::Networks;
pub use changes::Change;
pub use error::ConfigError;
pub use keys::Keys;
pub use load::{listen_address, max_body};
pub use setting::{DefaultValue, Effect, Setting, Show};
pub use settings::{SETTINGS, URL};
pub use units::lifetime;
pub use values::{Config, Timeouts};
pub use variables::{Given, Variables};
