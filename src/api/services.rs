//! What every route may use for as long as the process lives.

use std::time::Instant;

use super::runtime_config::CurrentConfig;
use crate::hub::Hub;
use crate::hub::queue::QueueBudget;
use crate::net::connections::Connections;
use crate::net::input_budget::InputBudget;
use crate::net::shutdown::Shutdown;

/// The parts of the server that live as long as the process; clones share them.
#[derive(Clone)]
pub struct Services {
    /// The channels and their subscribers.
    pub hub: Hub,
    /// What may wait in the send queues of all subscribers.
    pub queue_budget: QueueBudget,
    /// What may arrive from all clients at the same time.
    pub input_budget: InputBudget,
    /// The open connections.
    pub connections: Connections,
    /// The configuration in force. A reload replaces it as a whole; a request that has loaded one
    /// keeps that one.
    pub config: CurrentConfig,
    /// The start of the server.
    pub started: Instant,
    /// The shutdown of the server.
    pub shutdown: Shutdown,
}
