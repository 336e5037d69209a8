//! A connection's part in the table, given back when it is dropped.

use std::cell::Cell;
use std::sync::Arc;

use super::entry::{ConnectionEntry, PushConnection};
use super::order::ConnState;
use super::table::Table;

/// An open connection's place in the table.
#[derive(Debug)]
pub struct ConnectionPermit {
    handle: ConnectionHandle,
    is_upgraded: bool,
    is_proven: bool,
}

impl ConnectionPermit {
    pub(super) fn new(id: u64, entry: Arc<ConnectionEntry>, table: Arc<Table>) -> ConnectionPermit {
        ConnectionPermit {
            handle: ConnectionHandle { id, entry, table },
            is_upgraded: false,
            is_proven: false,
        }
    }

    /// The number of the connection in the log, counted from 1 since the start.
    pub fn id(&self) -> u64 {
        self.handle.id
    }

    /// Counts a request as under way for as long as the guard lives; none when the connection was
    /// evicted before. The request is taken for whole until [`RequestGuard::mark_partial`].
    pub fn begin_request(&self) -> Option<RequestGuard> {
        let ConnectionHandle { id, table, .. } = &self.handle;
        let mut entries = table.entries.lock();
        if !entries.set(*id, ConnState::Active) {
            return None;
        }
        entries.requests += 1;
        Some(RequestGuard {
            handle: self.handle.clone(),
            is_partial: Cell::new(false),
        })
    }

    /// Says that the connection has broadcast with a good token: it outlasts those that have not.
    pub fn mark_proven(&mut self) {
        if !self.is_proven {
            self.is_proven = true;
            let ConnectionHandle { id, table, .. } = &self.handle;
            table.entries.lock().prove(*id);
        }
    }

    /// Counts the connection as upgraded from now on.
    pub fn upgrade(&mut self, push: impl PushConnection + 'static) {
        let ConnectionHandle { entry, table, .. } = &self.handle;
        entry.set_push(push);
        table.entries.lock().upgraded += 1;
        self.is_upgraded = true;
    }

    /// Says that the upgraded connection has shown no token yet: until then it may be evicted.
    pub fn await_token(&self) {
        self.handle.set(ConnState::Upgraded);
    }

    /// Says that a valid token was shown; false when the connection was evicted before.
    pub fn subscribe(&self) -> bool {
        self.handle.set(ConnState::Subscribed)
    }

    /// Whether the connection was evicted.
    pub fn is_evicted(&self) -> bool {
        self.handle.entry.is_evicted()
    }

    #[cfg(test)]
    pub(super) fn has_input(&self) -> bool {
        self.handle.entry.has_input()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let ConnectionHandle { id, table, .. } = &self.handle;
        let mut entries = table.entries.lock();
        entries.remove(*id);
        entries.upgraded -= usize::from(self.is_upgraded);
        drop(entries);
        table.changed.notify_all();
    }
}

/// A handle on a connection in the table, through which its thread says what it is doing; clones
/// are of the same connection.
#[derive(Debug, Clone)]
struct ConnectionHandle {
    id: u64,
    entry: Arc<ConnectionEntry>,
    table: Arc<Table>,
}

impl ConnectionHandle {
    /// Says what the connection is doing; false when it was evicted before.
    fn set(&self, state: ConnState) -> bool {
        let is_open = self.table.entries.lock().set(self.id, state);
        self.table.changed.notify_all(); // it may be evicted from now on
        is_open
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct RequestGuard {
    handle: ConnectionHandle,
    is_partial: Cell<bool>,
}

impl RequestGuard {
    /// Says that a part of the request has still to arrive: until then, the connection may be
    /// evicted.
    pub fn mark_partial(&self) {
        if !self.is_partial.replace(true) {
            self.handle.set(ConnState::Reading);
        }
    }

    /// Says that the request has arrived whole, and will be answered; false when the connection
    /// was evicted before.
    pub fn mark_whole(&self) -> bool {
        !self.is_partial.replace(false) || self.handle.set(ConnState::Active)
    }

    /// Says that the connection does not take its answer at once, or is being closed: it may be
    /// evicted for another.
    pub fn mark_sending(&self) {
        self.handle.set(ConnState::Sending);
    }
}

/// An upgraded connection does not become idle: its session says what follows.
impl Drop for RequestGuard {
    fn drop(&mut self) {
        let ConnectionHandle { id, entry, table } = &self.handle;
        let mut entries = table.entries.lock();
        if entry.push().is_none() {
            entries.set(*id, ConnState::Idle);
        }
        entries.requests -= 1;
        drop(entries);
        table.changed.notify_all();
    }
}
