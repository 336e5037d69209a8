//! The model's `waker`: a flag that can be looked at, and the thread that sleeps on it.

use std::io;
use std::sync::Arc;

use crate::net::sync::{Condvar, Mutex};

/// The waker of a queue; clones are the same waker.
#[derive(Debug, Clone)]
pub struct Waker(pub(super) Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Guards the flags, and is held while the sleeping thread looks around.
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) is_woken: bool,
    pub(super) is_over: bool,
}

impl Waker {
    /// A waker that nobody has woken.
    ///
    /// # Errors
    /// Never; the server's can fail.
    pub fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::default()))
    }

    /// As the server's.
    pub fn wake(&self) {
        self.0.state.lock().is_woken = true;
        self.0.changed.notify_all();
    }

    /// As the server's.
    pub fn clear(&self) {
        self.0.state.lock().is_woken = false;
    }

    /// Whether it was woken since it was cleared.
    pub fn is_woken(&self) -> bool {
        self.0.state.lock().is_woken
    }

    /// Tells the sleeping thread that nothing more is to come.
    pub fn end(&self) {
        self.0.state.lock().is_over = true;
        self.0.changed.notify_all();
    }
}
