//! The TCP connection under ureq's requests.
//!
//! ureq's own would do but for two things: its errors don't tell a server that can't be
//! reached from a connection that broke, and it gives up on a server that answers and closes
//! before it has read the whole request, such as one with a smaller limit of the body.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::error::ClientError;
use super::url::Url;
use crate::net::dial::{DialError, dial};
use crate::net::poll;

/// Time limit for each of a host's addresses to accept the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Resolves nothing: ureq asks before each request, [`Dialer`] only for a new connection.
#[derive(Debug)]
pub struct Unresolved;

impl Resolver for Unresolved {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Opens connections to one server.
#[derive(Debug)]
pub struct Dialer {
    url: Url,
}

impl Dialer {
    /// A dialer for the server at `url`.
    pub fn new(url: Url) -> Dialer {
        Dialer { url }
    }

    fn dial(&self, limit: Option<Duration>) -> io::Result<TcpStream> {
        let end = limit.map(|limit| Instant::now() + limit);
        let addresses = self.url.addresses()?;
        let connected = dial(&addresses, CONNECT_LIMIT, |fd, deadline| {
            let deadline = end.map_or(deadline, |end| end.min(deadline));
            poll::wait(&mut [fd], Some(deadline))
        });
        let stream = connected.map_err(|error| match error {
            DialError::Failed(error) | DialError::Interrupted(error) => error,
        })?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Connector for Dialer {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let config = details.config;
        let stream = self
            .dial(left(details.timeout)?)
            .map_err(|error| ureq::Error::Other(Box::new(ClientError::Unreachable(error))))?;
        Ok(Some(Connection {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            send_error: None,
            has_answer: false,
        }))
    }
}

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// Why the request could not be sent. It is reported only if no answer has come either.
    send_error: Option<io::Error>,
    /// Whether some of the answer to the last request has come.
    has_answer: bool,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.has_answer = false;
        if self.send_error.is_some() {
            return Ok(());
        }
        self.stream.set_write_timeout(left(timeout)?)?;
        match self.stream.write_all(&self.buffers.output()[..amount]) {
            Err(error) if is_timeout(&error) => Err(ureq::Error::Timeout(timeout.reason)),
            outcome => {
                self.send_error = outcome.err();
                Ok(())
            }
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.set_read_timeout(left(timeout)?)?;
        let received = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let error = match received {
            Ok(0) if self.has_answer => cut_short(),
            Ok(0) => io::Error::new(ErrorKind::UnexpectedEof, "no answer came"),
            Ok(received) => {
                self.buffers.input_appended(received);
                self.has_answer = true;
                return Ok(true);
            }
            Err(error) if is_timeout(&error) => return Err(ureq::Error::Timeout(timeout.reason)),
            Err(error) => error,
        };
        Err(self.send_error.take().unwrap_or(error).into())
    }

    /// Whether an idle connection is open: no bytes have arrived, and the peer has not closed it.
    fn is_open(&mut self) -> bool {
        let peeked = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.peek(&mut [0]));
        let is_quiet = peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.send_error.is_none() && is_quiet && self.stream.set_nonblocking(false).is_ok()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(formatter)
    }
}

/// The error of a connection that ended within an answer. ureq takes this kind for the end of
/// an answer without a length.
pub fn cut_short() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the answer is cut short")
}

/// The time that is left; never zero, which the standard library refuses as a limit.
fn left(timeout: NextTimeout) -> Result<Option<Duration>, ureq::Error> {
    match timeout.after {
        Limit::NotHappening => Ok(None),
        Limit::Exact(left) if left.is_zero() => Err(ureq::Error::Timeout(timeout.reason)),
        Limit::Exact(left) => Ok(Some(left)),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
