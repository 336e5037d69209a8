//! The model's `sync`: what `src/sync.rs` names, on the tools of loom or shuttle.
//!
//! Each type has the part of its namesake's interface that the shipped code uses. All are
//! as weak as they may be: an atomic orders no more than acquire and release do, and the
//! queue's count of what waits is an atomic of that kind.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, TryLockError};

#[cfg(feature = "loom")]
use loom::sync as tool;
#[cfg(feature = "shuttle")]
use shuttle::sync as tool;

pub use tool::atomic::{AtomicI64, AtomicUsize, Ordering, fence};

/// An atomic whose `SeqCst` counts as acquire and release: fences have to do the rest.
#[derive(Debug, Default)]
pub struct AtomicU64(tool::atomic::AtomicU64);

/// The weakest reading of an ordering, for a load and for a change.
fn weakest(order: Ordering) -> (Ordering, Ordering) {
    match order {
        Ordering::SeqCst => (Ordering::Acquire, Ordering::AcqRel),
        weaker => (weaker, weaker),
    }
}

impl AtomicU64 {
    /// As `std`'s.
    pub fn new(value: u64) -> AtomicU64 {
        AtomicU64(tool::atomic::AtomicU64::new(value))
    }

    /// As `std`'s.
    pub fn load(&self, order: Ordering) -> u64 {
        self.0.load(weakest(order).0)
    }

    /// As `std`'s.
    pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_add(value, weakest(order).1)
    }

    /// As `std`'s, but for an underflow: no count here ever goes below nothing.
    pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_sub(value, weakest(order).1)
    }

    /// As `std`'s.
    pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_or(value, weakest(order).1)
    }
}

/// parking_lot's, without poisoning.
#[derive(Default)]
pub struct Mutex<T>(tool::Mutex<T>);

/// Held as long as it lives.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Missing only while [`Condvar::wait`] waits.
    held: Option<tool::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// Free.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(tool::Mutex::new(value))
    }

    /// Waits until it is free.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.hold(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it guards, for who has it alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(held) => Some(self.hold(held)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.hold(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn hold<'a>(&'a self, held: tool::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard {
            mutex: self,
            held: Some(held),
        }
    }
}

/// To loom, setting a lock free is no step: another thread's `try_lock` would never be tried
/// while the lock is held just for a look. Trying in vain to take it once more is a step.
impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.held.is_some() && !std::thread::panicking() {
            let _ = self.mutex.0.try_lock();
        }
    }
}

impl<T: Debug> Debug for Mutex<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => (*guard).fmt(out),
            None => out.write_str("<locked>"),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_deref().expect("missing in Condvar::wait only")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let held = self.held.as_deref_mut();
        held.expect("missing in Condvar::wait only")
    }
}

/// parking_lot's, which never wakes for nothing.
#[derive(Default)]
pub struct Condvar(tool::Condvar);

impl Condvar {
    /// Frees the lock, waits to be told, and takes the lock again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            let woken = self.0.wait(held);
            guard.held = Some(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }
}

impl Debug for Condvar {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Condvar")
    }
}

/// `std`'s, with steps that the tools see.
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    sets: AtomicUsize,
}

impl<T> OnceLock<T> {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> OnceLock<T> {
        OnceLock {
            value: std::sync::OnceLock::new(),
            sets: AtomicUsize::new(0),
        }
    }

    /// What it was set to, if it was.
    pub fn get(&self) -> Option<&T> {
        match self.sets.load(Ordering::Acquire) {
            0 => None,
            _ => self.value.get(),
        }
    }

    /// Sets it, unless it was.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.sets.fetch_add(1, Ordering::AcqRel);
        self.value.get_or_init(make)
    }
}

impl<T> Debug for OnceLock<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("OnceLock")
    }
}

/// crossbeam's endless channel: the order of the frames is that of `sent`.
#[derive(Debug)]
struct Queue<T> {
    /// No step of its own: touched right after `sent` or `received`, before the next step.
    items: std::sync::Mutex<VecDeque<T>>,
    sent: AtomicUsize,
    received: AtomicUsize,
}

/// Where frames go in.
#[derive(Debug)]
pub struct Sender<T>(Arc<Queue<T>>);

/// Where they come out.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Queue<T>>);

/// A queue without a limit.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue {
        items: std::sync::Mutex::default(),
        sent: AtomicUsize::new(0),
        received: AtomicUsize::new(0),
    });
    (Sender(queue.clone()), Receiver(queue))
}

impl<T> Queue<T> {
    fn items(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        let items = self.items.lock();
        items.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Adds an item behind all others.
    ///
    /// # Errors
    /// Never; crossbeam's can fail.
    pub fn send(&self, item: T) -> Result<(), T> {
        self.0.sent.fetch_add(1, Ordering::AcqRel);
        self.0.items().push_back(item);
        Ok(())
    }
}

/// Nothing waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Empty;

impl<T> Receiver<T> {
    /// Whether nothing waits, as far as this thread has seen.
    pub fn is_empty(&self) -> bool {
        let received = self.0.received.load(Ordering::Acquire);
        self.0.sent.load(Ordering::Acquire) <= received
    }

    /// Takes the item that has waited longest.
    ///
    /// # Errors
    /// When this thread sees none.
    pub fn try_recv(&self) -> Result<T, Empty> {
        if self.is_empty() {
            return Err(Empty);
        }
        self.0.received.fetch_add(1, Ordering::AcqRel);
        let item = self.0.items().pop_front();
        Ok(item.expect("one thread at a time takes, so what it saw is still there"))
    }
}
