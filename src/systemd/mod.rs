//! What the server and its service manager tell each other.
//!
//! [`activation`] takes over the listening socket, [`notify`] says how the server is, and
//! [`pulse`] is the thread that keeps saying so, feeding the watchdog only after [`probe`] got
//! an answer through the front door. Nothing here does anything unless systemd, or what speaks
//! like it, started the process.

pub mod activation;
pub mod notify;
pub mod probe;
pub mod pulse;
