//! Threads for those who have just come: one each, which takes the next when it is free.
//!
//! Most connections are here for a moment: they ask one thing, or become subscribers and
//! move to a thread of their own. Starting and ending a thread for each costs ten times
//! what they ask for.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A thread that has been free for so long ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// Gives every visitor a thread to itself.
pub struct WorkerPool<T> {
    /// Without any room: a visitor is taken only by a thread that waits at this moment, so
    /// nobody can stand behind one that is busy.
    arrivals: Sender<T>,
    free: Receiver<T>,
    serve: Arc<dyn Fn(T) + Send + Sync>,
    /// In bytes.
    stack_size: usize,
}

impl<T: Send + 'static> WorkerPool<T> {
    /// A reception whose threads call `serve`.
    pub fn new(stack_size: usize, serve: impl Fn(T) + Send + Sync + 'static) -> WorkerPool<T> {
        let (arrivals, free) = bounded(0);
        WorkerPool {
            arrivals,
            free,
            serve: Arc::new(serve),
            stack_size,
        }
    }

    /// Gives a visitor to a thread that is free, or to a new one.
    ///
    /// # Errors
    /// When no thread can be had; the visitor is dropped.
    pub fn execute(&self, visitor: T) -> io::Result<()> {
        let Err(refused) = self.arrivals.try_send(visitor) else {
            return Ok(());
        };
        let (visitor, free, serve) = (refused.into_inner(), self.free.clone(), self.serve.clone());
        let work = move || {
            serve(visitor);
            while let Ok(visitor) = free.recv_timeout(PATIENCE) {
                serve(visitor);
            }
        };
        thread::Builder::new()
            .stack_size(self.stack_size)
            .spawn(work)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::ThreadId;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn nobody_stands_behind_one_who_is_busy() {
        let (entered, seen) = bounded(0);
        let (leave, left) = bounded::<()>(0);
        let reception = WorkerPool::new(64 * 1024, move |number: usize| {
            entered.send(number).unwrap();
            left.recv_timeout(LIMIT).unwrap();
        });
        for number in 0..20 {
            reception.execute(number).unwrap();
        }
        let mut all: Vec<_> = (0..20).map(|_| seen.recv_timeout(LIMIT).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        (0..20).for_each(|_| leave.send_timeout((), LIMIT).unwrap());
    }

    #[test]
    fn a_thread_that_is_free_is_taken_again() {
        let (sender, threads) = bounded::<ThreadId>(1);
        let reception = WorkerPool::new(64 * 1024, move |()| {
            sender.send(thread::current().id()).unwrap();
        });
        reception.execute(()).unwrap();
        let first = threads.recv_timeout(LIMIT).unwrap();
        let was_taken_again = (0..1000).any(|_| {
            thread::yield_now();
            reception.execute(()).unwrap();
            threads.recv_timeout(LIMIT).unwrap() == first
        });
        assert!(was_taken_again);
    }

    #[test]
    fn a_visitor_that_panics_takes_only_its_thread_along() {
        let (sender, served) = bounded(1);
        let reception = WorkerPool::new(64 * 1024, move |number: u8| {
            assert_ne!(number, 0, "on purpose");
            sender.send(number).unwrap();
        });
        for number in [0, 1, 0, 2] {
            reception.execute(number).unwrap();
            if number > 0 {
                assert_eq!(served.recv_timeout(LIMIT), Ok(number));
            }
        }
    }
}
