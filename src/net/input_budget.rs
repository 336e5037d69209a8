//! The budget of everything that arrives: the memory of what has not arrived whole, and of what is
//! being handled.
//!
//! Each connection has one [`InputCharge`], and says how much its buffers take before they grow:
//! the head and body of a request, the parts of a WebSocket message. Every one of them has a limit
//! of its own; this is the limit of all together, past which what arrives next is refused.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection may take without being charged, in bytes: the buffer of one read, and a usual
/// body that is copied out of it. A server whose budget is used up goes on with small requests.
pub const FREE: usize = 8 * 1024;
/// A charge over this is large, in bytes: as much as a WebSocket message may have.
pub const LARGE: usize = 64 * 1024;

/// A handle on the budget; clones share it.
#[derive(Debug, Clone)]
pub struct InputBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What is charged to all connections.
    bytes: AtomicU64,
    limit: AtomicU64,
}

impl InputBudget {
    /// A budget of `limit` bytes, of which none is used.
    pub fn new(limit: usize) -> InputBudget {
        InputBudget(Arc::new(Shared {
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(limit as u64),
        }))
    }

    /// Changes the limit. What is charged stays, and nothing more is until it is below the limit.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit as u64, Ordering::Relaxed);
    }

    /// The bytes that are charged.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The bytes that may be charged.
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// The charge of a new connection: nothing yet.
    pub fn charge(&self) -> InputCharge {
        InputCharge {
            budget: self.clone(),
            charged: 0,
            is_proven: false,
        }
    }
}

/// What arrives on one connection, as far as it is charged; given back when dropped.
#[derive(Debug)]
pub struct InputCharge {
    budget: InputBudget,
    charged: u64,
    is_proven: bool,
}

impl InputCharge {
    /// Says that all buffers of the connection together take, or are about to take, this many bytes.
    /// It may be said as often as one likes: an unchanged charge touches nothing that is shared.
    ///
    /// # Errors
    /// When the budget has no room; then the charge is what it was, and the buffers must not grow.
    /// A smaller charge always succeeds.
    pub fn set(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let charged = charged(bytes);
        if charged <= self.charged {
            self.give_back(self.charged - charged);
            return Ok(());
        }
        let (more, limit) = (charged - self.charged, self.limit_for(charged));
        let add = |total: u64| total.checked_add(more).filter(|total| *total <= limit);
        let total = &self.budget.0.bytes;
        match total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => {
                self.charged = charged;
                Ok(())
            }
            Err(_) => Err(self.over_budget()),
        }
    }

    /// Whether [`InputCharge::set`] would succeed at this moment. Charges nothing.
    ///
    /// # Errors
    /// When the budget has no room.
    pub fn check(&self, bytes: usize) -> Result<(), OverBudget> {
        let charged = charged(bytes);
        let total = self.budget.bytes() - self.charged;
        if charged <= self.charged || total + charged <= self.limit_for(charged) {
            Ok(())
        } else {
            Err(self.over_budget())
        }
    }

    /// Says that the connection has shown a good token.
    pub fn mark_proven(&mut self) {
        self.is_proven = true;
    }

    /// What may be charged in all, if this connection takes so many bytes of it. The last quarter is
    /// for those that take little, so that large bodies alone can't use everything up; and half of
    /// that for those that have shown a good token.
    fn limit_for(&self, charged: u64) -> u64 {
        let limit = self.budget.limit();
        match charged {
            large if large > LARGE as u64 => limit - limit / 4,
            _ if self.is_proven => limit,
            _ => limit - limit / 8,
        }
    }

    /// Gives everything back: the buffers are gone.
    pub fn clear(&mut self) {
        self.give_back(self.charged);
    }

    fn give_back(&mut self, bytes: u64) {
        if bytes > 0 {
            self.budget.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.charged -= bytes;
        }
    }

    fn over_budget(&self) -> OverBudget {
        OverBudget {
            limit: self.budget.limit(),
        }
    }
}

impl Drop for InputCharge {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What is charged for so many bytes.
fn charged(bytes: usize) -> u64 {
    bytes.saturating_sub(FREE) as u64
}

/// The budget has no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget {
    limit: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverBudget { limit } = self;
        write!(
            formatter,
            "too much is arriving at the same time: BIFROST_INPUT_TOTAL allows {limit} bytes; try \
             again later"
        )
    }
}

impl std::error::Error for OverBudget {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const KIB: usize = 1024;

    #[test]
    fn a_charge_counts_beyond_what_is_free_until_it_is_dropped() {
        let budget = InputBudget::new(100 * KIB);
        let (mut one, mut other) = (budget.charge(), budget.charge());
        assert_eq!((one.set(FREE), budget.bytes()), (Ok(()), 0));
        assert_eq!(one.set(FREE + 10), Ok(()));
        assert_eq!(other.set(FREE + 5), Ok(()));
        assert_eq!(budget.bytes(), 15);
        assert_eq!((one.set(FREE + 4), budget.bytes()), (Ok(()), 9));
        other.clear();
        assert_eq!(budget.bytes(), 4);
        drop((one, other));
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn over_the_limit_a_charge_stays_what_it_was() {
        let budget = InputBudget::new(20 * KIB);
        let mut charge = budget.charge();
        charge.mark_proven();
        assert_eq!(charge.set(FREE + 20 * KIB), Ok(()));
        let over = charge.set(FREE + 20 * KIB + 1).unwrap_err().to_string();
        assert!(
            over.contains("BIFROST_INPUT_TOTAL allows 20480 bytes"),
            "{over}"
        );
        assert_eq!(budget.bytes(), 20 * KIB as u64);
        let mut other = budget.charge();
        assert!(other.set(FREE + 1).is_err() && other.set(FREE).is_ok());
        assert!(charge.set(usize::MAX).is_err() && charge.set(FREE + 3).is_ok());
        assert_eq!(budget.bytes(), 3);
    }

    #[test]
    fn the_last_quarter_is_for_small_charges_and_half_of_it_for_the_proven() {
        let budget = InputBudget::new(400 * KIB);
        let (mut large, mut second) = (budget.charge(), budget.charge());
        assert_eq!(large.set(FREE + 200 * KIB), Ok(()));
        assert_eq!(second.check(FREE + 100 * KIB), Ok(()));
        assert!(second.check(FREE + 100 * KIB + 1).is_err());
        assert!(large.set(FREE + 301 * KIB).is_err());
        assert_eq!(large.set(FREE + 300 * KIB), Ok(()));
        assert!(second.set(FREE + LARGE + 1).is_err());
        assert!(second.set(FREE + 50 * KIB + 1).is_err());
        assert_eq!(second.set(FREE + 50 * KIB), Ok(()));
        let mut proven = budget.charge();
        proven.mark_proven();
        assert!(proven.set(FREE + 50 * KIB + 1).is_err());
        assert_eq!(proven.set(FREE + 50 * KIB), Ok(()));
    }

    #[test]
    fn another_limit_holds_for_what_comes_next() {
        let budget = InputBudget::new(0);
        let mut charge = budget.charge();
        assert!(charge.set(FREE + 1).is_err());
        budget.set_limit(KIB);
        assert_eq!((charge.set(FREE + 1), budget.limit()), (Ok(()), 1024));
        budget.set_limit(0);
        assert_eq!(charge.set(FREE + 1), Ok(()));
        assert!(charge.set(FREE + 2).is_err());
    }

    #[test]
    fn threads_never_charge_more_than_the_limit() {
        let budget = InputBudget::new(10 * KIB);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for size in 0..2_000 {
                        let mut charge = budget.charge();
                        let _ = charge.set(FREE + size * 7 % 9_000);
                        assert!(budget.bytes() <= 10 * 1024);
                    }
                });
            }
        });
        assert_eq!(budget.bytes(), 0);
    }
}
