//! What the server and systemd tell each other.
//!
//! [`activation`] takes over the listening socket; [`notify`] sends reports; [`status`] is the thread
//! that keeps sending them, and reports to the watchdog only after [`probe`] got an answer at the
//! server's own port. The units that ask for all this are here too. Nothing here does anything
//! unless systemd, or what speaks like it, started the process.

pub mod activation;
pub mod notify;
pub mod probe;
pub mod status;

/// `bifrost.service`, as `bifrost unit service` prints it.
pub const SERVICE_UNIT: &str = include_str!("bifrost.service");
/// `bifrost.socket`, as `bifrost unit socket` prints it.
pub const SOCKET_UNIT: &str = include_str!("bifrost.socket");
