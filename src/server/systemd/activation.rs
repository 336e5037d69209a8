//! Socket activation: the listening socket that the service manager bound (sd_listen_fds(3)).
//!
//! The crate listenfd takes over descriptor 3: safe code can't make a socket of a mere number.
//! Which sockets are accepted is decided here.

use std::env;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::process;

use listenfd::ListenFd;
use rustix::net::sockopt;

/// The socket that was handed to this process, if one was. Called once, at the start.
///
/// # Errors
/// A sentence that says what was handed over instead of one listening TCP socket.
pub fn inherited_socket() -> io::Result<Option<TcpListener>> {
    let variable = |name| env::var(name).unwrap_or_default();
    let offered = offered(
        &variable("LISTEN_PID"),
        &variable("LISTEN_FDS"),
        process::id(),
    )?;
    match offered {
        0 => Ok(None),
        1 => take_first().map(Some),
        more => Err(unusable(format!(
            "LISTEN_FDS is \"{more}\"; use one ListenStream= in the socket unit"
        ))),
    }
}

/// The number of sockets handed to the process `own_pid`: none if the variables are those of
/// another process, which a child inherits.
fn offered(pid: &str, count: &str, own_pid: u32) -> io::Result<usize> {
    if pid.parse() != Ok(own_pid) {
        return Ok(0);
    }
    match count {
        "" => Ok(0),
        _ => count
            .parse()
            .map_err(|_| unusable(format!("LISTEN_FDS is {count:?}; use the number 1"))),
    }
}

fn take_first() -> io::Result<TcpListener> {
    let socket = ListenFd::from_env().take_tcp_listener(0).map_err(|_| {
        unusable("descriptor 3 is not a TCP socket; use a port in ListenStream=".into())
    })?;
    let socket = socket.ok_or_else(|| unusable("descriptor 3 is taken".into()))?;
    if !sockopt::socket_acceptconn(&socket)? {
        let message = "descriptor 3 does not listen; use Accept=no in the socket unit";
        return Err(unusable(message.into()));
    }
    Ok(socket)
}

fn unusable(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_sockets_for_this_process_count() {
        assert_eq!(offered("7", "1", 7).unwrap(), 1);
        assert_eq!(offered("7", "2", 7).unwrap(), 2);
        assert_eq!(offered("7", "", 7).unwrap(), 0);
        assert_eq!(offered("8", "1", 7).unwrap(), 0);
        assert_eq!(offered("", "1", 7).unwrap(), 0);
        assert_eq!(offered("x", "x", 7).unwrap(), 0);
    }

    #[test]
    fn an_invalid_count_is_named() {
        let error = offered("7", "one", 7).unwrap_err();
        assert_eq!(error.to_string(), "LISTEN_FDS is \"one\"; use the number 1");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(pid in "\\PC{0,8}", count in "\\PC{0,8}") {
            let _ = (offered(&pid, &count, 7), offered("7", &count, 7));
        }
    }
}
