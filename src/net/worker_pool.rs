//! Threads for new connections: one each, reused for the next when it is idle.
//!
//! Most connections are short: they send one request, or are upgraded and move to a thread of
//! their own. Starting and ending a thread for each costs ten times what the request does.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// An idle thread ends after this time.
const KEEP_ALIVE: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce() + Send>;

/// Runs each job on a thread that runs no other at the same time.
pub struct WorkerPool {
    /// Without a buffer: only a thread that waits at this moment takes a job, so that no job
    /// waits behind a busy one.
    jobs: Sender<Job>,
    idle: Receiver<Job>,
    /// In bytes.
    stack_size: usize,
}

impl WorkerPool {
    /// A pool without threads, which starts them with a stack of this size in bytes.
    pub fn new(stack_size: usize) -> WorkerPool {
        let (jobs, idle) = bounded(0);
        WorkerPool {
            jobs,
            idle,
            stack_size,
        }
    }

    /// Runs a job on an idle thread, or on a new one.
    ///
    /// # Errors
    /// When no thread can be started; the job is dropped.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let Err(unsent) = self.jobs.try_send(Box::new(job)) else {
            return Ok(());
        };
        let (job, idle) = (unsent.into_inner(), self.idle.clone());
        let work = move || {
            job();
            while let Ok(job) = idle.recv_timeout(KEEP_ALIVE) {
                job();
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

    const LIMIT: Duration = Duration::from_secs(10);
    const STACK_SIZE: usize = 64 * 1024;

    #[test]
    fn no_job_waits_behind_a_busy_one() {
        let (entered, seen) = bounded(0);
        let (leave, left) = bounded::<()>(0);
        let pool = WorkerPool::new(STACK_SIZE);
        for number in 0..20_usize {
            let (entered, left) = (entered.clone(), left.clone());
            let job = move || {
                entered.send(number).unwrap();
                left.recv_timeout(LIMIT).unwrap();
            };
            pool.execute(job).unwrap();
        }
        let mut all: Vec<_> = (0..20).map(|_| seen.recv_timeout(LIMIT).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        (0..20).for_each(|_| leave.send_timeout((), LIMIT).unwrap());
    }

    #[test]
    fn an_idle_thread_is_reused() {
        let (sender, threads) = bounded(1);
        let pool = WorkerPool::new(STACK_SIZE);
        let execute = || {
            let sender = sender.clone();
            pool.execute(move || sender.send(thread::current().id()).unwrap())
                .unwrap();
            threads.recv_timeout(LIMIT).unwrap()
        };
        let first = execute();
        let was_reused = (0..1000).any(|_| {
            thread::yield_now();
            execute() == first
        });
        assert!(was_reused);
    }

    #[test]
    fn a_job_that_panics_costs_only_its_thread() {
        let (sender, served) = bounded(1);
        let pool = WorkerPool::new(STACK_SIZE);
        for number in [0_u8, 1, 0, 2] {
            let sender = sender.clone();
            let job = move || {
                assert_ne!(number, 0, "on purpose");
                sender.send(number).unwrap();
            };
            pool.execute(job).unwrap();
            if number > 0 {
                assert_eq!(served.recv_timeout(LIMIT), Ok(number));
            }
        }
    }
}
