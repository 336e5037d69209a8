//! A plain HTTP client that sends any bytes and reads answers to the letter.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;

use super::DEADLINE;

/// One TCP connection to the server.
pub struct Http {
    stream: TcpStream,
    /// Read, but not yet given to anyone.
    rest: Vec<u8>,
}

/// What came of waiting for bytes.
#[derive(Debug, PartialEq, Eq)]
enum Arrival {
    Bytes,
    End,
    Nothing,
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"))
    }

    pub fn over(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("set a read timeout");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("set a write timeout");
        stream.set_nodelay(true).expect("set nodelay");
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream
            .write_all(bytes.as_ref())
            .expect("send to the server");
        self
    }

    /// Sends until everything is gone or the server hangs up; true if everything went.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A second handle, to send from another thread while this one reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("clone the socket")
    }

    /// `GET` on a connection that stays open.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .response()
    }

    /// The next answer to anything but `HEAD`.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let length = response
            .header("content-length")
            .map(|length| length.parse().expect("a number"));
        response.body =
            if (100..200).contains(&response.status) || [204, 304].contains(&response.status) {
                Vec::new()
            } else if response.header("transfer-encoding") == Some("chunked") {
                self.chunks()
            } else if let Some(length) = length {
                self.take(length)
            } else {
                self.until_end()
            };
        response
    }

    /// Like `response`, where the server may also hang up without a word.
    pub fn try_response(&mut self) -> Option<Response> {
        self.has_more_within(DEADLINE).then(|| self.response())
    }

    /// The next answer to a `HEAD`: there is never a body.
    pub fn head(&mut self) -> Response {
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.rest.split_off(end + 4);
                break std::mem::replace(&mut self.rest, rest);
            }
            let arrival = self.wait(DEADLINE);
            let so_far = String::from_utf8_lossy(&self.rest);
            assert_eq!(arrival, Arrival::Bytes, "no answer, only {so_far:?}");
        };
        Response::parse(std::str::from_utf8(&head).expect("heads are ASCII"))
    }

    /// Asserts that the server closes the connection without saying anything more.
    pub fn expect_closed(&mut self) {
        let rest = self.until_end();
        assert_eq!(String::from_utf8_lossy(&rest), "", "more than one answer");
    }

    /// Asserts that for a while nothing comes and the connection stays open.
    pub fn expect_silence(&mut self, duration: Duration) {
        assert_eq!(self.rest, b"");
        assert_eq!(self.wait(duration), Arrival::Nothing);
    }

    /// True once the server has hung up; waits at most `patience`.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.wait(patience) == Arrival::End
    }

    /// True if something is there to be read, or comes soon.
    pub fn has_more_within(&mut self, patience: Duration) -> bool {
        !self.rest.is_empty() || self.wait(patience) == Arrival::Bytes
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            let (have, arrival) = (self.rest.len(), self.wait(DEADLINE));
            assert_eq!(arrival, Arrival::Bytes, "only {have} of {length} bytes");
        }
        let rest = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Everything until the server closes, in an orderly way or not.
    pub fn until_end(&mut self) -> Vec<u8> {
        loop {
            match self.wait(DEADLINE) {
                Arrival::Bytes => {}
                Arrival::End => return std::mem::take(&mut self.rest),
                Arrival::Nothing => panic!("the server does not close the connection"),
            }
        }
    }

    /// Like `until_end`, keeping nothing.
    pub fn drain(&mut self) {
        while self.wait(DEADLINE) == Arrival::Bytes {
            self.rest.clear();
        }
    }

    /// Ends the connection with a reset instead of a close.
    pub fn reset(self) {
        set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("set linger");
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.take(1));
            }
            let size = std::str::from_utf8(&line).expect("ASCII").trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    fn wait(&mut self, patience: Duration) -> Arrival {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("set a read timeout");
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Arrival::End,
            Ok(length) => {
                self.rest.extend_from_slice(&buffer[..length]);
                Arrival::Bytes
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Arrival::Nothing,
                ErrorKind::Interrupted => self.wait(patience),
                _ => Arrival::End,
            },
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let mut start = lines.next().expect("a status line").splitn(3, ' ');
        let version = start.next().expect("a version").to_owned();
        let status = start.next().expect("a status").parse().expect("a number");
        let headers = lines
            .map(|line| {
                line.split_once(':')
                    .unwrap_or_else(|| panic!("no header: {line:?}"))
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            version,
            status,
            headers,
            body: Vec::new(),
        }
    }

    /// A header that may be there once; name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// True if a header that holds a list has this word in it.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(word))
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("bodies are UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Asserts an error as every route tells it, and gives its sentence.
    #[track_caller]
    pub fn expect_error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{} {self:?}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(
            body.as_object().map(|object| object.len()),
            Some(1),
            "{body}"
        );
        let sentence = body["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no sentence: {body}"));
        assert!(
            !sentence.trim().is_empty() && !sentence.contains('\n'),
            "{body}"
        );
        sentence.to_owned()
    }

    /// Asserts a body to the byte, and that it is told as JSON.
    #[track_caller]
    pub fn expect_json(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.text()), (status, body));
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{self:?}");
    }
}
