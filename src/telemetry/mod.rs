//! Log lines, counters, and the text that Prometheus reads.

pub mod counter;
pub mod counters;
pub mod labels;
pub mod log;
pub mod text;
