//! The load generator: one thread, one epoll instance per server, nothing allocated per frame.

pub mod crowd;
pub mod frame;
pub mod histogram;
pub mod ledger;
pub mod poller;
pub mod publisher;
pub mod script;
pub mod stage;
