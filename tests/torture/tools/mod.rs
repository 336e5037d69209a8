//! What the torture tests need besides the support module of the other tests: thousands of
//! subscribers in one thread, a publisher that retries, figures from `/proc`, and a seeded
//! random number generator.

pub mod proc_stats;
pub mod publisher;
pub mod rng;
pub mod swarm;
