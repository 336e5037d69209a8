//! A connection's part in the table, given back when it is dropped.

use std::sync::Arc;

use super::entry::{ConnState, ConnectionEntry, PushConnection};
use super::table::Table;

/// An open connection's place in the table.
#[derive(Debug)]
pub struct ConnectionPermit {
    id: u64,
    handle: ConnectionHandle,
    is_upgraded: bool,
}

impl ConnectionPermit {
    pub(super) fn new(id: u64, entry: Arc<ConnectionEntry>, table: Arc<Table>) -> ConnectionPermit {
        ConnectionPermit {
            id,
            handle: ConnectionHandle { entry, table },
            is_upgraded: false,
        }
    }

    /// The number of the connection in the log, counted from 1 since the start.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Counts a request as under way for as long as the guard lives; none when the connection was
    /// evicted before.
    pub fn begin_request(&self) -> Option<RequestGuard> {
        let ConnectionHandle { entry, table } = &self.handle;
        if !entry.set(ConnState::Reading) {
            return None;
        }
        table.entries.lock().requests += 1;
        Some(RequestGuard(self.handle.clone()))
    }

    #[cfg(test)]
    pub(super) fn entry(&self) -> &Arc<ConnectionEntry> {
        &self.handle.entry
    }

    /// Counts the connection as upgraded from now on.
    pub fn upgrade(&mut self, push: impl PushConnection + 'static) {
        let ConnectionHandle { entry, table } = &self.handle;
        entry.set_push(push);
        table.entries.lock().upgraded += 1;
        self.is_upgraded = true;
    }

    /// Says that the upgraded connection has shown no token yet: until then it may be evicted.
    pub fn await_token(&self) {
        self.handle.entry.set(ConnState::Upgraded);
    }

    /// Says that a valid token was shown; false when the connection was evicted before.
    pub fn subscribe(&self) -> bool {
        self.handle.entry.set(ConnState::Subscribed)
    }

    /// Whether the connection was evicted.
    pub fn is_evicted(&self) -> bool {
        self.handle.entry.is_evicted()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let ConnectionHandle { entry, table } = &self.handle;
        let mut entries = table.entries.lock();
        entries.open.remove(&self.id);
        entries.ending -= usize::from(entry.is_evicted());
        entries.upgraded -= usize::from(self.is_upgraded);
        drop(entries);
        table.changed.notify_all();
    }
}

/// A handle on a connection's entry, through which its thread says what it is doing; clones share
/// the entry.
#[derive(Debug, Clone)]
struct ConnectionHandle {
    entry: Arc<ConnectionEntry>,
    table: Arc<Table>,
}

/// A request that is under way.
#[derive(Debug)]
pub struct RequestGuard(ConnectionHandle);

impl RequestGuard {
    /// Says that the request has arrived whole, and will be answered; false when the connection
    /// was evicted before.
    pub fn mark_whole(&self) -> bool {
        self.0.entry.set(ConnState::Active)
    }

    /// Says that no more of the request will be read. The response has still to arrive, but the
    /// connection may be evicted for another.
    pub fn mark_rejected(&self) {
        self.0.entry.set(ConnState::Reading);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let ConnectionHandle { entry, table } = &self.0;
        entry.set(ConnState::Idle);
        table.entries.lock().requests -= 1;
        table.changed.notify_all();
    }
}
