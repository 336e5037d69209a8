//! Socket activation: the listening socket that the service manager bound (sd_listen_fds(3)).
//!
//! The one thing that safe code can't do is to own descriptor 3 because a variable says so;
//! the crate listenfd does that. What may be handed over is decided here.

use std::env;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::process;

use listenfd::ListenFd;
use rustix::net::sockopt;

/// The socket that was handed to this process, if one was. To be asked once, at the start.
///
/// # Errors
/// In one sentence, what was handed over instead of one listening TCP socket.
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
        more => Err(refusal(format!(
            "LISTEN_FDS is \"{more}\"; use one ListenStream= in the socket unit"
        ))),
    }
}

/// How many sockets were handed to the process `own_pid`: none if the variables are those
/// of another process, as a child inherits them.
fn offered(pid: &str, count: &str, own_pid: u32) -> io::Result<usize> {
    if pid.parse() != Ok(own_pid) {
        return Ok(0);
    }
    match count {
        "" => Ok(0),
        _ => count
            .parse()
            .map_err(|_| refusal(format!("LISTEN_FDS is {count:?}; use the number 1"))),
    }
}

fn take_first() -> io::Result<TcpListener> {
    let socket = ListenFd::from_env().take_tcp_listener(0).map_err(|_| {
        refusal("descriptor 3 is not a TCP socket; use a port in ListenStream=".into())
    })?;
    let socket = socket.ok_or_else(|| refusal("descriptor 3 is taken".into()))?;
    match sockopt::socket_acceptconn(&socket)? {
        true => Ok(socket),
        false => Err(refusal(
            "descriptor 3 does not listen; use Accept=no in the socket unit".into(),
        )),
    }
}

fn refusal(sentence: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_for_this_process_counts() {
        assert_eq!(offered("7", "1", 7).unwrap(), 1);
        assert_eq!(offered("7", "2", 7).unwrap(), 2);
        assert_eq!(offered("7", "", 7).unwrap(), 0);
        assert_eq!(offered("8", "1", 7).unwrap(), 0);
        assert_eq!(offered("", "1", 7).unwrap(), 0);
        assert_eq!(offered("x", "x", 7).unwrap(), 0);
    }

    #[test]
    fn a_count_that_is_none_is_named() {
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
