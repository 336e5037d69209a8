//! Where connections come from: a socket that we bind, or one that a service manager holds.
//!
//! Both get the same options, which accepted connections inherit. They differ at the stop: our
//! own socket goes with us, and the manager's keeps who knocks for the process that follows.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{listen, sockopt};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// What the kernel may hold for a peer that does not read, in bytes; it takes this twice.
/// Left to itself it would grow to 4 MiB each, and call a socket writable only when a third
/// of that is free.
const SEND_BUFFER: usize = 128 * 1024;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    holder: Holder,
}

/// Who else holds a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: it closes with the process.
    Nobody,
    /// The service manager: it stays open, and whoever connects waits for the next process.
    Manager,
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
        Listener::open(TcpListener::bind(&addresses[..])?, Holder::Nobody)
    }

    /// Binds a socket to an address that needs no resolving.
    ///
    /// # Errors
    /// When it can't be bound.
    pub fn bind_to(address: SocketAddr) -> io::Result<Listener> {
        Listener::open(TcpListener::bind(address)?, Holder::Nobody)
    }

    /// Takes over a socket that listens already; `SO_REUSEADDR` was its binder's business.
    ///
    /// # Errors
    /// When an option is refused, which a TCP socket does not do.
    pub fn inherit(socket: TcpListener) -> io::Result<Listener> {
        Listener::open(socket, Holder::Manager)
    }

    fn open(socket: TcpListener, holder: Holder) -> io::Result<Listener> {
        listen(&socket, BACKLOG)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, holder })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does; others when the kernel has run out of something.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept()
    }

    /// Who else holds it.
    pub fn holder(&self) -> Holder {
        self.holder
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
