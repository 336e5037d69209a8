//! An accepted connection.

use std::net::IpAddr;

use super::connections::{ConnectionPermit, IpPermit};
use super::input_budget::InputCharge;
use super::socket::Socket;

/// An accepted connection with its permits, which it gives back when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// The TCP socket.
    pub socket: Socket,
    /// The peer's IP address: the client's, or that of a proxy in front.
    pub peer: IpAddr,
    /// Its place in the table of connections.
    pub permit: ConnectionPermit,
    /// Its part in the limit of its IP address.
    pub ip_permit: IpPermit,
    /// What its buffers take of the memory for everything that arrives.
    pub input_charge: InputCharge,
}

impl Connection {
    /// The number of the connection in the log, counted from 1 since the start.
    pub fn id(&self) -> u64 {
        self.permit.id()
    }

    /// Says that the peer has broadcast with a good token: it outlasts those that have not.
    pub fn mark_proven(&mut self) {
        self.permit.mark_proven();
        self.input_charge.mark_proven();
    }
}
