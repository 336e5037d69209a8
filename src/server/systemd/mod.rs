//! What the server and its service manager tell each other.
//!
//! [`activation`] takes over the listening socket, [`notify`] says how the server is, and
//! [`pulse`] is the thread that keeps saying so, feeding the watchdog only after [`probe`] got
//! an answer through the front door. The units that ask for all this are here too. Nothing
//! here does anything unless systemd, or what speaks like it, started the process.

pub mod activation;
pub mod notify;
pub mod probe;
pub mod pulse;

/// `bifrost.service`, as `bifrost unit service` prints it.
pub const SERVICE_UNIT: &str = include_str!("bifrost.service");
/// `bifrost.socket`, as `bifrost unit socket` prints it.
pub const SOCKET_UNIT: &str = include_str!("bifrost.socket");
