//! A connection's part in the counts, given back when it ends.

use std::sync::Arc;

use super::Connections;
use crate::hub::queue::SendQueue;
use crate::net::connections::entry::{ConnState, ConnectionEntry};

/// An open connection, as its own threads say what it is at; clones are the same one.
#[derive(Debug, Clone)]
pub struct ConnectionHandle {
    pub(super) presence: Arc<ConnectionEntry>,
    pub(super) connections: Connections,
}

impl ConnectionHandle {
    /// Counts a request as under way for as long as the guard lives; nothing when the
    /// connection was asked to leave before.
    pub fn begin_work(&self) -> Option<RequestGuard> {
        if !self.presence.set(ConnState::Arriving) {
            return None;
        }
        self.connections.0.guests.lock().at_work += 1;
        Some(RequestGuard(self.clone()))
    }
}

impl RequestGuard {
    /// Says that the request is there whole, and will be answered; nothing when the
    /// connection was asked to leave before.
    pub fn whole(&self) -> Option<()> {
        self.0.presence.set(ConnState::AtWork).then_some(())
    }

    /// Says that nothing more will be read of the request: what is left is to see that the
    /// answer arrives, and somebody else may need the place.
    pub fn turned_away(&self) {
        self.0.presence.set(ConnState::Arriving);
    }
}

/// An open connection's part in the count.
#[derive(Debug)]
pub struct ConnectionPermit {
    pub(super) id: u64,
    pub(super) guest: ConnectionHandle,
    pub(super) is_subscriber: bool,
}

impl ConnectionPermit {
    /// Its number in the log, counted from 1 since the start.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The connection itself.
    pub fn guest(&self) -> ConnectionHandle {
        self.guest.clone()
    }

    /// The same connection, counted as a subscriber from here on.
    #[must_use]
    pub fn of_subscriber(mut self, outbox: SendQueue) -> ConnectionPermit {
        self.guest.presence.set_outbox(outbox);
        self.guest.connections.0.guests.lock().subscribers += 1;
        self.is_subscriber = true;
        self
    }

    /// Whether it was asked to leave.
    pub fn is_leaving(&self) -> bool {
        self.guest.presence.is_leaving()
    }

    /// Says that the connection waits for a token: until it shows a good one, it may be
    /// asked to leave.
    pub fn await_token(&self) {
        self.guest.presence.set(ConnState::Unauthenticated);
    }

    /// Says that a good token was shown; false when the connection was asked to leave before.
    pub fn confirm(&self) -> bool {
        self.guest.presence.set(ConnState::Subscriber)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let ConnectionHandle {
            presence,
            connections,
        } = &self.guest;
        let mut guests = connections.0.guests.lock();
        guests.present.remove(&self.id);
        guests.leaving -= usize::from(presence.is_leaving());
        guests.subscribers -= usize::from(self.is_subscriber);
        drop(guests);
        connections.0.one_ended.notify_all();
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct RequestGuard(ConnectionHandle);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let ConnectionHandle {
            presence,
            connections,
        } = &self.0;
        presence.set(ConnState::Idle);
        connections.0.guests.lock().at_work -= 1;
        connections.0.one_ended.notify_all();
    }
}
