//! How many frames a client may send: a token bucket (as in RFC 2697), kept as one point in time.
//!
//! Every frame costs the server a wake-up, and a ping or an event also an answer. A client needs a
//! few in a minute; one that never pauses would take a core.

use std::time::{Duration, Instant};

/// A rate with a burst above it.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Frames in a second, in the long run.
    pub per_second: u32,
    /// Frames at once, after a pause.
    pub burst: u32,
}

/// For a client that has shown no valid token: pings, and a token or two.
pub const STRANGER: RateLimit = RateLimit {
    per_second: 20,
    burst: 100,
};
/// For a client that has.
pub const AUTHENTICATED: RateLimit = RateLimit {
    per_second: 100,
    burst: 1_000,
};

/// The frames that one client has sent of late.
#[derive(Debug)]
pub struct FrameRate {
    /// When all frames so far are paid for, at the rate of the limit.
    paid_at: Instant,
}

impl FrameRate {
    /// The rate of a client that has sent nothing.
    pub fn new(now: Instant) -> FrameRate {
        FrameRate { paid_at: now }
    }

    /// Counts frames that have arrived; false when they are more than the limit allows.
    pub fn admit(&mut self, frames: u32, limit: RateLimit, now: Instant) -> bool {
        if frames == 0 {
            return true;
        }
        let one = Duration::from_secs(1) / limit.per_second;
        self.paid_at = self.paid_at.max(now) + one * frames;
        self.paid_at <= now + one * limit.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        per_second: 10,
        burst: 5,
    };

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = FrameRate::new(start);
        assert!(rate.admit(5, LIMIT, start) && rate.admit(0, LIMIT, start));
        assert!(!rate.admit(1, LIMIT, start));
        let mut rate = FrameRate::new(start);
        assert!(rate.admit(5, LIMIT, start));
        for tenth in 1..50 {
            let now = start + Duration::from_millis(100) * tenth;
            assert!(rate.admit(1, LIMIT, now), "{tenth}");
        }
    }

    #[test]
    fn a_pause_gives_no_more_than_a_burst() {
        let start = Instant::now();
        let mut rate = FrameRate::new(start);
        let later = start + Duration::from_secs(1_000);
        assert!(!rate.admit(6, LIMIT, later));
    }
}
