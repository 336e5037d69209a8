//! A value that is replaced as a whole while others read it.
//!
//! A leaf. Whoever has taken the value keeps that one for as long as it needs it, so that
//! nothing is decided half by the old value and half by the new one.

use std::sync::Arc;

use parking_lot::RwLock;

/// A handle on the value; clones share it.
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// Holds this value until another one is put in its place.
    pub fn new(value: Arc<T>) -> Live<T> {
        Live(Arc::new(RwLock::new(value)))
    }

    /// The value of this moment.
    pub fn now(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// What `part` takes out of the value of this moment. Nothing in it may wait.
    pub fn copy<U>(&self, part: impl FnOnce(&T) -> U) -> U {
        part(&self.0.read())
    }

    /// Puts another value in its place.
    pub fn replace(&self, value: Arc<T>) {
        let old = std::mem::replace(&mut *self.0.write(), value);
        drop(old); // after the lock: what it holds may take others
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Live<T> {
        Live(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_taken_a_value_keeps_it() {
        let live = Live::new(Arc::new(1));
        let taken = live.now();
        live.clone().replace(Arc::new(2));
        assert_eq!((*taken, *live.now()), (1, 2));
        assert_eq!(live.copy(|value| value + 1), 3);
    }
}
