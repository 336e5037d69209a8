//! Turns for large broadcasts: as many are handled at the same time as there are processors.
//!
//! While it is handled, a broadcast takes more than its body, which is charged already
//! (`net::input_budget`). Measured with bodies of 1 MiB: the decoded claims and the message ¾ each,
//! its frame ¾; a token with JSON escapes is copied whole. Handling only computes, so that more at a
//! time would not be faster, only larger; and nobody waits long for a turn.

use std::sync::LazyLock;
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::net::input_budget::LARGE;

static TURNS: LazyLock<Turns> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    Turns::new(processors)
});

/// Waits for a turn, if a body of so many bytes needs one.
pub fn wait_for(body: usize) -> Option<Turn<'static>> {
    (body > LARGE).then(|| TURNS.take())
}

/// A number of turns.
struct Turns {
    /// Guards the number of turns that nobody has. Nothing under it waits.
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A turn, which is given back when it is dropped.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    fn new(count: usize) -> Turns {
        Turns {
            free: Mutex::new(count),
            given_back: Condvar::new(),
        }
    }

    fn take(&self) -> Turn<'_> {
        let mut free = self.free.lock();
        self.given_back.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_have_a_turn_than_there_are() {
        let (turns, having) = (Turns::new(2), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turns.take();
                        assert!(having.fetch_add(1, Ordering::SeqCst) < 2);
                        thread::yield_now();
                        having.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(*turns.free.lock(), 2);
    }

    #[test]
    fn a_usual_body_needs_no_turn() {
        assert!(wait_for(LARGE).is_none());
        assert!(wait_for(LARGE + 1).is_some());
    }
}
