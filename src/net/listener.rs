//! A listening socket: one that this process binds, or one that the service manager holds.
//!
//! Both get the same options, which accepted connections inherit. They differ at the shutdown: a
//! socket of our own closes with the process, and the service manager's keeps waiting connections
//! for the next process.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{listen, sockopt};

/// Most connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// The send buffer of a connection, in bytes; the kernel takes this twice. Without it, the buffer
/// grows to 4 MiB for a peer that does not read, and counts as writable only when a third of that
/// is free.
const SEND_BUFFER: usize = 128 * 1024;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    holder: Holder,
}

/// Whether another process holds the listening socket too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// No: it closes with this process.
    ThisProcess,
    /// The service manager does: it stays open, and connections wait for the next process.
    ServiceManager,
}

impl Listener {
    /// Binds a socket. The standard library sets `SO_REUSEADDR` on it.
    ///
    /// # Errors
    /// When the name does not resolve, or the address can't be bound.
    pub fn bind(host: &str, port: u16) -> io::Result<Listener> {
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        Listener::open(TcpListener::bind(&addresses[..])?, Holder::ThisProcess)
    }

    /// Binds a socket to an address that needs no resolving.
    ///
    /// # Errors
    /// When it can't be bound.
    pub fn bind_to(address: SocketAddr) -> io::Result<Listener> {
        Listener::open(TcpListener::bind(address)?, Holder::ThisProcess)
    }

    /// Takes over a socket that listens already; `SO_REUSEADDR` was for its binder to set.
    ///
    /// # Errors
    /// When an option is refused, which a TCP socket does not do.
    pub fn inherit(socket: TcpListener) -> io::Result<Listener> {
        Listener::open(socket, Holder::ServiceManager)
    }

    fn open(socket: TcpListener, holder: Holder) -> io::Result<Listener> {
        listen(&socket, BACKLOG)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, holder })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the socket has none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts the next waiting connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; others when the kernel has run out of a resource.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept()
    }

    /// Which process closes it.
    pub fn holder(&self) -> Holder {
        self.holder
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
