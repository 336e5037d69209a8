//! The tools of concurrency behind the outbox, the line and the registry, each named once.
//!
//! A leaf without code of its own. The models in `tests/model` compile those three files
//! against another `sync`, whose tools explore every order in which threads may take turns.

pub use std::sync::OnceLock;
pub use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};

pub use crossbeam_channel::{Receiver, Sender, unbounded};
pub use parking_lot::{Condvar, Mutex, MutexGuard};
