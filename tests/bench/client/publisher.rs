//! A publisher: one keep-alive HTTP connection, one request at a time.

use std::net::{SocketAddr, TcpStream};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::poller::{Interest, Poller};
use crate::Result;

/// Names of the number of subscribers reached: that of most servers, and that of nchan.
const COUNTS: [&[u8]; 2] = [b"\"deliveries\":", b"\"subscribers\":"];

/// A connection that requests are posted on.
pub struct Publisher {
    socket: TcpStream,
    /// The start of a response whose end has not arrived yet.
    rest: Vec<u8>,
}

impl Publisher {
    /// Connects, and adds the socket to the poller with this token.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn connect(poller: &Poller, address: SocketAddr, token: u64) -> Result<Publisher> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, token, Interest::Read)?;
        Ok(Publisher {
            socket,
            rest: Vec::new(),
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the server does not read, or has closed the connection.
    pub fn post(&self, request: &[u8]) -> Result {
        match send(&self.socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == request.len() => Ok(()),
            Ok(_) | Err(Errno::AGAIN) => Err("the server does not read requests".into()),
            Err(error) => Err(format!("can't post: {error}").into()),
        }
    }

    /// Reads what has arrived; gives the number of subscribers reached once the response is whole.
    ///
    /// # Errors
    /// When the response is not a success, or the connection ended.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<u64>> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match recv(&self.socket, &mut buffer[kept..], RecvFlags::empty()) {
            Ok((0, _)) => return Err("the server closed a publisher's connection".into()),
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = &buffer[..kept + read];
        self.rest.clear();
        let Some(body) = whole_body(bytes) else {
            self.rest.extend_from_slice(bytes);
            return Ok(None);
        };
        let deliveries = COUNTS.iter().find_map(|name| number_after(body, name));
        match (bytes.starts_with(b"HTTP/1.1 20"), deliveries) {
            (true, Some(deliveries)) => Ok(Some(deliveries)),
            _ => Err(format!("bad response: {}", String::from_utf8_lossy(bytes)).into()),
        }
    }
}

/// The body, once it is as long as the head says.
fn whole_body(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let length = number_after(&bytes[..head], b"Content-Length:").unwrap_or(0);
    bytes.get(head + 4..head + 4 + usize::try_from(length).ok()?)
}

/// The number after a name and any spaces.
pub fn number_after(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let start = bytes.windows(name.len()).position(|text| text == name)? + name.len();
    let digits = bytes[start..].trim_ascii_start();
    let end = digits.iter().position(|digit| !digit.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    str::from_utf8(digits).ok()?.parse().ok()
}
