//! The watchdog's health check: a request to the server's own listener, as a client sends it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::net::dial::{DialError, dial};
use crate::net::poll;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The status does not matter: a refusal, such as that of the limit per address, is an answer.
const GOOD: &[u8] = b"HTTP/1.1 ";

/// Asks for `/healthz` on a new connection to a server that listens on `server`.
///
/// # Errors
/// `TimedOut` when there is no answer within `limit`; others when the server can't be
/// reached or does not speak HTTP.
pub fn ask(server: SocketAddr, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut stream = connect(server, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(REQUEST)?;
    let mut answer = [0; GOOD.len()];
    let mut length = 0;
    while length < answer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut answer[length..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    if answer != GOOD {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(())
}

fn connect(server: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    let connected = dial(&reachable_at(server), left(deadline)?, |fd, until| {
        poll::wait(&mut [fd], Some(until.min(deadline)))
    });
    let stream = connected.map_err(|error| match error {
        DialError::Failed(error) | DialError::Interrupted(error) => error,
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The addresses at which this machine reaches a listener: the loopback for one on all
/// addresses, and for one on `::` also that of IPv4, since there may be no IPv6.
fn reachable_at(server: SocketAddr) -> Vec<SocketAddr> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, server.port()));
    match server {
        _ if !server.ip().is_unspecified() => vec![server],
        SocketAddr::V4(_) => vec![v4],
        SocketAddr::V6(_) => vec![v6, v4],
    }
}

/// The time that is left; never zero, which the standard library refuses as a limit.
fn left(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const LIMIT: Duration = Duration::from_secs(10);

    /// What a probe makes of a server that answers this.
    fn ask_one_that_answers(answer: &'static [u8]) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, REQUEST);
            stream.write_all(answer).unwrap();
        });
        let outcome = ask(address, LIMIT);
        server.join().unwrap();
        outcome
    }

    #[test]
    fn any_answer_is_good() {
        assert!(ask_one_that_answers(b"HTTP/1.1 200 OK\r\n\r\n").is_ok());
        assert!(ask_one_that_answers(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_ok());
        let answers: [&[u8]; 3] = [b"SSH-2.0-server\r\n\r\n", b"HTTP", b""];
        for answer in answers {
            assert!(ask_one_that_answers(answer).is_err());
        }
    }

    #[test]
    fn a_silent_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = ask(listener.local_addr().unwrap(), Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_the_loopback() {
        let addresses = |text: &str| {
            let addresses = reachable_at(text.parse().unwrap());
            let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            texts.join(" ")
        };
        assert_eq!(addresses("0.0.0.0:3000"), "127.0.0.1:3000");
        assert_eq!(addresses("[::]:3000"), "[::1]:3000 127.0.0.1:3000");
        assert_eq!(addresses("192.0.2.7:80"), "192.0.2.7:80");
    }
}
