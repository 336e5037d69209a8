//! One limit of the machine, and how many connections it allows.

/// How many connections a limit of the machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possible {
    /// So many.
    pub connections: usize,
    /// The limit, in words: `the file limit`.
    pub limit: &'static str,
    /// How it is raised.
    pub cure: &'static str,
}
