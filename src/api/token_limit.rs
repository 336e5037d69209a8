//! The limit of subscriber connections per token holder.
//!
//! A holder is the claim `sub` of a token, or the token itself if it has none. Of both, only a hash
//! is kept.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

/// The limit, and a handle on the counts; clones share both.
#[derive(Debug, Clone)]
pub struct PerTokenLimit {
    /// Most connections of one holder, if limited.
    limit: Option<usize>,
    counts: Arc<Counts>,
}

/// The connections of each holder. Counted without a limit too: a reload may set one.
#[derive(Debug, Default)]
struct Counts {
    /// Guards the counts, by the hash of the holder. Nothing under it waits.
    open: Mutex<HashMap<u64, usize>>,
    /// Seeded at random: nobody can look for two holders with the same hash.
    hashes: RandomState,
}

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder<'a> {
    /// Everybody with this claim `sub`.
    Subject(&'a str),
    /// Everybody with this token, which has no `sub`.
    Token(&'a str),
}

/// A holder has reached the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverTokenLimit {
    limit: usize,
}

impl fmt::Display for OverTokenLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverTokenLimit { limit } = self;
        write!(
            formatter,
            "one sub or token has {limit} connections open, which is all that it may; \
             BIFROST_MAX_CONNECTIONS_PER_TOKEN sets the limit"
        )
    }
}

impl std::error::Error for OverTokenLimit {}

impl PerTokenLimit {
    /// A limit without connections yet.
    pub fn new(limit: Option<usize>) -> PerTokenLimit {
        PerTokenLimit {
            limit,
            counts: Arc::default(),
        }
    }

    /// The same counts under another limit. Open connections stay, and count as before.
    #[must_use]
    pub fn with_limit(&self, limit: Option<usize>) -> PerTokenLimit {
        PerTokenLimit {
            limit,
            counts: self.counts.clone(),
        }
    }

    /// Counts a connection for as long as the permit lives.
    ///
    /// # Errors
    /// When the holder has reached the limit.
    pub fn acquire(&self, holder: Holder<'_>) -> Result<TokenPermit, OverTokenLimit> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let holder = self.counts.hashes.hash_one(holder);
        let mut open = self.counts.open.lock();
        let count = open.entry(holder).or_default();
        if *count >= limit {
            return Err(OverTokenLimit { limit });
        }
        *count += 1;
        let counts = self.counts.clone();
        Ok(TokenPermit { counts, holder })
    }
}

/// A connection's part in the count of its holder, given back when it is dropped.
#[derive(Debug)]
pub struct TokenPermit {
    counts: Arc<Counts>,
    holder: u64,
}

impl Drop for TokenPermit {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock();
        if let Some(count) = open.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_a_limit_and_gives_permits_back() {
        let per_token = PerTokenLimit::new(Some(2));
        let mut permits: Vec<_> = (0..2)
            .map(|_| per_token.acquire(Holder::Subject("alice")).unwrap())
            .collect();
        assert!(per_token.acquire(Holder::Subject("alice")).is_err());
        assert!(per_token.acquire(Holder::Subject("bob")).is_ok());
        assert!(per_token.acquire(Holder::Token("alice")).is_ok());
        permits.pop();
        assert!(per_token.acquire(Holder::Subject("alice")).is_ok());
        drop(permits);
        assert!(per_token.counts.open.lock().is_empty());
    }

    #[test]
    fn a_limit_that_is_set_later_counts_open_connections() {
        let per_token = PerTokenLimit::new(None);
        let permits = [(); 9].map(|()| per_token.acquire(Holder::Token("t")).unwrap());
        let limited = per_token.with_limit(Some(9));
        assert!(limited.acquire(Holder::Token("t")).is_err());
        drop(permits);
        assert!(limited.acquire(Holder::Token("t")).is_ok());
    }
}
