//! The table of open connections, and the counts that decide whether another may be opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::{Condvar, Mutex};

use super::entry::ConnectionEntry;

/// Connections beyond the limit, for plain HTTP: broadcasts and health checks of a full server.
pub const RESERVE: usize = 16;

/// What all handles on the table share.
#[derive(Debug)]
pub struct Table {
    /// Guards the entries and the counts. Nothing under it waits.
    pub entries: Mutex<Entries>,
    /// Notified whenever a connection or a request ends, or the limit changes.
    pub changed: Condvar,
    /// Most connections, without the reserve.
    pub limit: AtomicUsize,
    /// Connections beyond the limit, for plain HTTP.
    pub reserve: usize,
}

/// The open connections and their counts.
#[derive(Debug, Default)]
pub struct Entries {
    /// By the number of the connection.
    pub open: HashMap<u64, Arc<ConnectionEntry>>,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Entries in `open` that were evicted and have not ended yet; they no longer count.
    pub ending: usize,
    /// Connections evicted since the start.
    pub evicted: u64,
    /// Connections that were upgraded.
    pub upgraded: usize,
    /// Connections with a request under way.
    pub requests: usize,
}

impl Entries {
    /// Open connections.
    pub fn count(&self) -> usize {
        self.open.len() - self.ending
    }
}
