//! The locks, atomics and channels that `hub` uses, each named once.
//!
//! No code of its own. The models in `tests/model` compile `hub` against another `sync`, whose
//! tools explore every order in which threads may take turns.

pub use std::sync::OnceLock;
pub use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};

pub use crossbeam_channel::{Receiver, Sender, unbounded};
pub use parking_lot::{Condvar, Mutex, MutexGuard};
