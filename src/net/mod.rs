//! TCP connections and threads: sockets, listener, acceptor, worker pool, shutdown, and the
//! table of open connections.

pub mod acceptor;
pub mod connections;
pub mod dial;
pub mod listener;
pub mod live;
pub mod networks;
pub mod shutdown;
pub mod socket;
pub mod sync;
pub mod worker_pool;
