//! Opening a TCP connection to one of several addresses without blocking in `connect`.
//!
//! The caller does the waiting, in a function that it hands in: so a deadline of its own, a
//! signal or a closed pipe can end the attempt.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, connect, getpeername, socket_with, sockopt,
};

use crate::net::poll::Wait;

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError<E> {
    /// No address took the connection; the reason of the last one.
    Failed(io::Error),
    /// The caller's `wait` gave up.
    Interrupted(E),
}

/// Connects to the first address that takes the connection, in the given order. Each address
/// has `limit`. The stream is non-blocking.
///
/// `wait` waits for a descriptor until a deadline, as [`crate::net::poll::wait`] does, and
/// ends the attempt by its error.
///
/// # Errors
/// [`DialError::Failed`] with `NotFound` where there is no address, with `TimedOut` where the
/// last one did not answer in time.
pub fn dial<E>(
    addresses: &[SocketAddr],
    limit: Duration,
    mut wait: impl FnMut(PollFd<'_>, Instant) -> Result<Wait, E>,
) -> Result<TcpStream, DialError<E>> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match dial_one(address, Instant::now() + limit, &mut wait) {
            Err(DialError::Failed(error)) => last = error,
            outcome => return outcome,
        }
    }
    Err(DialError::Failed(last))
}

fn dial_one<E>(
    address: &SocketAddr,
    deadline: Instant,
    wait: &mut impl FnMut(PollFd<'_>, Instant) -> Result<Wait, E>,
) -> Result<TcpStream, DialError<E>> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
    match connect(&socket, address) {
        Ok(()) => return Ok(socket.into()),
        // A signal leaves the attempt going on, as a non-blocking one is (connect(2)).
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(failed(error)),
    }
    loop {
        let writable = PollFd::new(&socket, PollFlags::OUT);
        if wait(writable, deadline).map_err(DialError::Interrupted)? == Wait::TimedOut {
            return Err(failed(Errno::TIMEDOUT));
        }
        sockopt::socket_error(&socket)
            .and_then(|outcome| outcome)
            .map_err(failed)?;
        // `wait` may return before anything happened; only a connected socket has a peer.
        if getpeername(&socket).is_ok() {
            return Ok(socket.into());
        }
    }
}

fn failed<E>(error: Errno) -> DialError<E> {
    DialError::Failed(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::poll;
    use std::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(10);

    fn poll(fd: PollFd<'_>, deadline: Instant) -> io::Result<Wait> {
        poll::wait(&mut [fd], Some(deadline))
    }

    /// An address on which nothing listens any more.
    fn closed_address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn the_first_address_that_accepts_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = dial(&[closed_address(), address], LIMIT, poll).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[test]
    fn the_last_error_is_returned() {
        let refused = dial(&[closed_address()], LIMIT, poll).unwrap_err();
        assert!(
            matches!(refused, DialError::Failed(e) if e.kind() == ErrorKind::ConnectionRefused)
        );
        let none = dial(&[], LIMIT, poll).unwrap_err();
        assert!(matches!(none, DialError::Failed(e) if e.kind() == ErrorKind::NotFound));
    }

    #[test]
    fn an_early_return_of_wait_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut calls = 0;
        let stream = dial(&[address], LIMIT, |fd, deadline| {
            calls += 1;
            if calls == 1 {
                return Ok(Wait::Ready);
            }
            poll(fd, deadline)
        });
        assert!(stream.unwrap().peer_addr().is_ok());
    }

    #[test]
    fn a_wait_that_gives_up_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A non-blocking connect is never done at once, on the loopback either (tcp(7)).
        let interrupted = dial(&[address], LIMIT, |_, _| Err("stop")).unwrap_err();
        assert!(matches!(interrupted, DialError::Interrupted("stop")));
    }
}
