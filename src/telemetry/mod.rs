//! What operators see of the server: log lines, counters, and the text that Prometheus reads.
//!
//! [`counters`] holds every counter of the process, [`labels`] the closed sets of values that some
//! are broken down by, [`metric_types`] and [`prometheus`] the tools. The page of metrics itself is
//! `api::metrics`. It imports nothing of ours, so every other module may import it.

pub mod counters;
pub mod labels;
pub mod log;
pub mod metric_types;
pub mod prometheus;
pub mod throttle;
