//! Limits log lines that peers can cause to one a second, and counts the others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A throttled line is written once per this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// The throttle of one kind of line.
#[derive(Debug)]
pub struct Throttle(
    /// Guards the time of the last line and the count. Nothing under it waits.
    Mutex<State>,
);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    /// Lines suppressed since the last one.
    suppressed: u64,
}

impl Throttle {
    /// A throttle that lets the next line pass.
    pub const fn new() -> Throttle {
        Throttle(Mutex::new(State {
            last: None,
            suppressed: 0,
        }))
    }

    /// The number of lines that were suppressed since the last one, if another may be written now.
    pub fn pass(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state.last.is_some_and(|last| now < last + INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_counts_what_it_suppresses() {
        let throttle = Throttle::new();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        throttle.0.lock().last = Some(Instant::now() - 2 * INTERVAL);
        assert_eq!(throttle.pass(), Some(2));
    }
}
