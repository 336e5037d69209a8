//! The load generator: one thread, one epoll instance per server, nothing allocated per frame.

pub mod delivery_log;
pub mod frame;
pub mod histogram;
pub mod poller;
pub mod publisher;
pub mod requests;
pub mod swarm;
pub mod testbed;
