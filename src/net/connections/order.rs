//! The order in which connections are evicted.
//!
//! The lists are kept as connections change, so that choosing one costs no more with thousands of
//! them. Whoever has shown nothing goes before whoever has broadcast with a good token, and of
//! those who have shown nothing, whoever has been in its state for longest goes first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A good client sends its request, or its token, within this time. After that, a connection of
/// which something is awaited is no better than one that sends nothing.
pub const OVERDUE: Duration = Duration::from_millis(500);
/// Most connections of one list that are looked at for one without unread input.
const ATTEMPTS: usize = 64;

/// What a connection is doing (like `http.ConnState` of Go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnState {
    /// Nothing has been received from it yet.
    New,
    /// It has sent a part of a request.
    Reading,
    /// It has sent a whole request, which is not answered yet.
    Active,
    /// It has been answered, and has not taken all of the answer; or it is being closed.
    Sending,
    /// It is between two requests.
    Idle,
    /// It was upgraded, and has not shown a valid token.
    Upgraded,
    /// It was upgraded, and has shown a valid token.
    Subscribed,
}

/// What decides whether a connection is evicted, and when.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// What it is doing.
    pub state: ConnState,
    /// Since when.
    pub since: Instant,
    /// Whether a broadcast of it, with a good token, was answered.
    pub is_proven: bool,
}

/// Connections that may be evicted, by the time since when and their number.
type List = BTreeSet<(Instant, u64)>;

/// The connections that may be evicted.
#[derive(Debug, Default)]
pub struct EvictionOrder {
    /// Unproven, and nothing is awaited from them.
    idle: List,
    /// Unproven; a request or a token is awaited from them.
    awaited: List,
    proven: List,
}

/// Which connection is evicted next.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidate {
    /// This one.
    Now(u64),
    /// None before this time: until then, those of which something is awaited may yet send it.
    NotBefore(Instant),
    /// None.
    Never,
}

/// Whether there is room for a connection that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// There may be at this time, if not before; if not known, when a connection has ended.
    Full(Option<Instant>),
}

impl EvictionOrder {
    /// Enters a connection, if it may be evicted as it stands.
    pub fn insert(&mut self, id: u64, standing: Standing) {
        if let Some(list) = self.list(standing) {
            list.insert((standing.since, id));
        }
    }

    /// Removes a connection that was entered as it stands.
    pub fn remove(&mut self, id: u64, standing: Standing) {
        if let Some(list) = self.list(standing) {
            list.remove(&(standing.since, id));
        }
    }

    /// Connections that may be evicted.
    pub fn len(&self) -> usize {
        self.idle.len() + self.awaited.len() + self.proven.len()
    }

    /// The first one: idle, or awaited for longer than [`OVERDUE`]; else awaited for as long as
    /// `patience` at least; else proven. A proven one that has sent something just now is spared,
    /// as `has_input` tells.
    pub fn first(
        &self,
        now: Instant,
        patience: Duration,
        has_input: impl Fn(u64) -> bool,
    ) -> Candidate {
        let awaited = self.awaited.first();
        let overdue = awaited.filter(|(since, _)| now >= *since + OVERDUE);
        if let Some((_, id)) = self.idle.first().into_iter().chain(overdue).min() {
            return Candidate::Now(*id);
        }
        match awaited {
            Some((since, id)) if now >= *since + patience => Candidate::Now(*id),
            Some((since, _)) => Candidate::NotBefore(*since + patience),
            None => self.first_proven(has_input),
        }
    }

    fn first_proven(&self, has_input: impl Fn(u64) -> bool) -> Candidate {
        let mut ids = self.proven.iter().take(ATTEMPTS).map(|(_, id)| *id);
        let silent = ids.find(|id| !has_input(*id));
        silent.map_or(Candidate::Never, Candidate::Now)
    }

    fn list(&mut self, standing: Standing) -> Option<&mut List> {
        match standing.state {
            ConnState::Active | ConnState::Subscribed => None,
            _ if standing.is_proven => Some(&mut self.proven),
            ConnState::Idle | ConnState::Sending => Some(&mut self.idle),
            ConnState::New | ConnState::Reading | ConnState::Upgraded => Some(&mut self.awaited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(100);

    struct Table {
        order: EvictionOrder,
        start: Instant,
    }

    impl Table {
        fn new() -> Table {
            Table {
                order: EvictionOrder::default(),
                start: Instant::now(),
            }
        }

        fn standing(&self, state: ConnState, since: u64, is_proven: bool) -> Standing {
            Standing {
                state,
                since: self.at(since),
                is_proven,
            }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// Enters connections that have been as they are since these milliseconds.
        fn enter(mut self, id: u64, state: ConnState, since: u64, is_proven: bool) -> Table {
            let standing = self.standing(state, since, is_proven);
            self.order.insert(id, standing);
            self
        }

        fn first(&self, now: u64) -> Candidate {
            self.order.first(self.at(now), GRACE, |id| id == 99)
        }
    }

    #[test]
    fn the_longest_idle_or_overdue_goes_first() {
        let table = Table::new()
            .enter(1, ConnState::Idle, 300, false)
            .enter(2, ConnState::Upgraded, 100, false)
            .enter(3, ConnState::Sending, 400, false)
            .enter(4, ConnState::Active, 0, false)
            .enter(5, ConnState::Subscribed, 0, false)
            .enter(6, ConnState::Idle, 0, true);
        assert_eq!(table.first(500), Candidate::Now(1));
        assert_eq!(table.first(600), Candidate::Now(2));
        assert_eq!(table.order.len(), 4);
    }

    #[test]
    fn awaited_connections_have_a_moment_and_go_before_proven_ones() {
        let table = Table::new()
            .enter(1, ConnState::Idle, 0, true)
            .enter(2, ConnState::New, 1_000, false)
            .enter(3, ConnState::Reading, 1_010, false);
        assert_eq!(table.first(1_050), Candidate::NotBefore(table.at(1_100)));
        assert_eq!(table.first(1_100), Candidate::Now(2));
    }

    #[test]
    fn the_proven_go_last_and_those_that_have_sent_something_not_at_all() {
        let table =
            Table::new()
                .enter(99, ConnState::Idle, 0, true)
                .enter(2, ConnState::Reading, 5, true);
        assert_eq!(table.first(10), Candidate::Now(2));
        let table = Table::new().enter(99, ConnState::Idle, 0, true);
        assert_eq!(table.first(10), Candidate::Never);
    }

    #[test]
    fn a_connection_is_removed_as_it_stands() {
        let mut table = Table::new().enter(1, ConnState::New, 7, false);
        let standing = table.standing(ConnState::New, 7, false);
        table.order.remove(1, standing);
        assert_eq!((table.order.len(), table.first(9)), (0, Candidate::Never));
    }
}
