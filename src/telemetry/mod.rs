//! What operators see of the server: log lines, counters, and the text that Prometheus reads.
//!
//! [`counters`] holds every counter of the process, [`labels`] the closed sets of values that some
//! are broken down by, [`counter`] and [`prometheus`] the tools. The page of metrics itself is
//! `api::metrics`. This room imports nothing of ours, so every other room may import it.

pub mod counter;
pub mod counters;
pub mod labels;
pub mod log;
pub mod prometheus;
pub mod throttle;
