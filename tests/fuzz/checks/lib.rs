//! The checks that every input must pass, one module per fuzz target.
//!
//! The targets call these functions with inputs that libFuzzer generates; `../replay.rs` calls
//! them with the seeds in every `cargo test`. A check panics when it fails.

pub mod broadcast;
pub mod http;
pub mod session;
pub mod settings;
pub mod token;

mod application;
mod frames;
mod json;
mod memory;
mod peer;
mod steps;
