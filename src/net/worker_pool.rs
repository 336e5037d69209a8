//! Threads for new connections: one each, reused for the next when it is idle.
//!
//! Most connections are short: they send one request, or are upgraded and move to a thread of
//! their own. Starting and ending a thread for each costs ten times what the request does.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

/// An idle thread ends after this time.
const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// Works on each item on a thread that works on no other at the same time.
pub struct WorkerPool<T> {
    /// Without a buffer: only a thread that waits at this moment takes an item, so that none waits
    /// behind a busy one.
    items: Sender<T>,
    idle: Receiver<T>,
    work: Arc<dyn Fn(T) + Send + Sync>,
    /// In bytes.
    stack_size: usize,
}

/// An item for which there was no thread.
#[derive(Debug)]
pub struct Unstarted<T> {
    /// The item.
    pub item: T,
    /// Why no thread could be started.
    pub error: io::Error,
}

impl<T: Send + 'static> WorkerPool<T> {
    /// A pool without threads, which starts them with a stack of this size in bytes.
    pub fn new(stack_size: usize, work: impl Fn(T) + Send + Sync + 'static) -> WorkerPool<T> {
        let (items, idle) = bounded(0);
        WorkerPool {
            items,
            idle,
            work: Arc::new(work),
            stack_size,
        }
    }

    /// Works on an item on an idle thread, or on a new one.
    ///
    /// # Errors
    /// When no thread can be started; the item is given back.
    pub fn execute(&self, item: T) -> Result<(), Unstarted<T>> {
        match self.items.try_send(item) {
            Ok(()) => Ok(()),
            Err(unsent) => self.execute_on_new_thread(unsent.into_inner()),
        }
    }

    /// The same, after waiting for an idle thread for so long.
    ///
    /// # Errors
    /// As [`WorkerPool::execute`].
    pub fn execute_within(&self, item: T, patience: Duration) -> Result<(), Unstarted<T>> {
        match self.items.send_timeout(item, patience) {
            Ok(()) => Ok(()),
            Err(unsent) => self.execute_on_new_thread(unsent.into_inner()),
        }
    }

    fn execute_on_new_thread(&self, item: T) -> Result<(), Unstarted<T>> {
        let (idle, work) = (self.idle.clone(), self.work.clone());
        // A thread that can't be started would take the item with it.
        let handed_over = Arc::new(Mutex::new(Some(item)));
        let first = handed_over.clone();
        let run = move || {
            let item = first.lock().take();
            drop(first);
            item.into_iter().for_each(|item| work(item));
            while let Ok(item) = idle.recv_timeout(KEEP_ALIVE) {
                work(item);
            }
        };
        let builder = thread::Builder::new().stack_size(self.stack_size);
        let Err(error) = builder.spawn(run) else {
            return Ok(());
        };
        let item = handed_over.lock().take();
        item.map_or(Ok(()), |item| Err(Unstarted { item, error }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);
    const STACK_SIZE: usize = 64 * 1024;

    type Job = Box<dyn FnOnce() + Send>;

    /// A pool whose items are jobs, which it runs.
    fn pool() -> WorkerPool<Job> {
        WorkerPool::new(STACK_SIZE, |job: Job| job())
    }

    fn execute(pool: &WorkerPool<Job>, job: impl FnOnce() + Send + 'static) {
        assert!(pool.execute(Box::new(job)).is_ok());
    }

    #[test]
    fn no_job_waits_behind_a_busy_one() {
        let (entered, seen) = bounded(0);
        let (leave, left) = bounded::<()>(0);
        let pool = pool();
        for number in 0..20_usize {
            let (entered, left) = (entered.clone(), left.clone());
            let job = move || {
                entered.send(number).unwrap();
                left.recv_timeout(LIMIT).unwrap();
            };
            execute(&pool, job);
        }
        let mut all: Vec<_> = (0..20).map(|_| seen.recv_timeout(LIMIT).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        (0..20).for_each(|_| leave.send_timeout((), LIMIT).unwrap());
    }

    #[test]
    fn an_idle_thread_is_reused() {
        let (sender, threads) = bounded(1);
        let pool = pool();
        let run = || {
            let sender = sender.clone();
            execute(&pool, move || sender.send(thread::current().id()).unwrap());
            threads.recv_timeout(LIMIT).unwrap()
        };
        let first = run();
        let was_reused = (0..1000).any(|_| {
            thread::yield_now();
            run() == first
        });
        assert!(was_reused);
    }

    #[test]
    fn a_job_that_panics_costs_only_its_thread() {
        let (sender, served) = bounded(1);
        let pool = pool();
        for number in [0_u8, 1, 0, 2] {
            let sender = sender.clone();
            let job = move || {
                assert_ne!(number, 0, "on purpose");
                sender.send(number).unwrap();
            };
            execute(&pool, job);
            if number > 0 {
                assert_eq!(served.recv_timeout(LIMIT), Ok(number));
            }
        }
    }

    #[test]
    fn without_a_thread_the_item_waits_for_an_idle_one_or_is_given_back() {
        const UNAVAILABLE: usize = usize::MAX / 2; // no machine has so much for a stack
        let (sender, served) = bounded(9);
        let mut pool = WorkerPool::new(STACK_SIZE, move |number: u8| sender.send(number).unwrap());
        assert!(pool.execute(1).is_ok());
        assert_eq!(served.recv_timeout(LIMIT), Ok(1));
        pool.stack_size = UNAVAILABLE;
        assert!(pool.execute_within(2, LIMIT).is_ok()); // the thread that is idle now takes it
        assert_eq!(served.recv_timeout(LIMIT), Ok(2));
        let idle = Instant::now() + LIMIT;
        let unstarted = loop {
            match pool.execute(3) {
                Ok(()) => assert!(Instant::now() < idle, "the thread never ends"),
                Err(unstarted) => break unstarted,
            }
        };
        assert_eq!(unstarted.item, 3);
    }
}
