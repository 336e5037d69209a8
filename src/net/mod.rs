//! TCP connections and the threads that serve them. Knows no HTTP, JSON or JWT.
//!
//! [`acceptor`] accepts connections from a [`listener`] and hands each to the [`worker_pool`];
//! [`connections`] is the table of open ones: how many there are, what each is doing, and which is
//! evicted when another needs its place. `refusals` ends those that may not be open. [`input_budget`] bounds the memory of what arrives.
//! [`socket`], [`poll`] and [`waker`] are the system calls, [`shutdown`] ends everything. Without
//! `unsafe` code.

pub mod acceptor;
pub mod connection;
pub mod connections;
pub mod control_group;
pub mod dial;
pub mod input_budget;
pub mod listener;
pub mod networks;
pub mod poll;
mod refusals;
pub mod shutdown;
pub mod socket;
pub mod sync;
pub mod waker;
pub mod worker_pool;

pub use connection::Connection;
pub use input_budget::{InputBudget, InputCharge};
pub use networks::Networks;
pub use shutdown::Shutdown;
pub use socket::Socket;
