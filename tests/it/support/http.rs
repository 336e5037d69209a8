//! A plain HTTP client that sends any bytes and reads responses strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;

use super::DEADLINE;

/// One TCP connection to the server.
pub struct Http {
    stream: TcpStream,
    /// Bytes that were received and not yet returned.
    rest: Vec<u8>,
}

/// The outcome of waiting for bytes.
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

    /// Sends everything, unless the server closes first; true if everything was sent.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A second handle, to send from another thread while this one reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("clone the socket")
    }

    /// `GET` on a connection that stays open.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .response()
    }

    /// Reads the response to any method but `HEAD`.
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

    /// Reads a response; `None` if the server closes the connection without one.
    pub fn try_response(&mut self) -> Option<Response> {
        self.has_more_within(DEADLINE).then(|| self.response())
    }

    /// Reads the response to a `HEAD`, which has no body.
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

    /// Asserts that the server closes the connection and sends nothing before.
    pub fn expect_closed(&mut self) {
        let rest = self.until_end();
        assert_eq!(String::from_utf8_lossy(&rest), "", "more than one answer");
    }

    /// Asserts that nothing arrives for this long and the connection stays open.
    pub fn expect_silence(&mut self, duration: Duration) {
        assert_eq!(self.rest, b"");
        assert_eq!(self.wait(duration), Arrival::Nothing);
    }

    /// True once the server has closed; waits at most `timeout`.
    pub fn is_closed_within(&mut self, timeout: Duration) -> bool {
        self.wait(timeout) == Arrival::End
    }

    /// True if there are bytes to read within `timeout`.
    pub fn has_more_within(&mut self, timeout: Duration) -> bool {
        !self.rest.is_empty() || self.wait(timeout) == Arrival::Bytes
    }

    /// Reads exactly `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            let (have, arrival) = (self.rest.len(), self.wait(DEADLINE));
            assert_eq!(arrival, Arrival::Bytes, "only {have} of {length} bytes");
        }
        let rest = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Reads until the server closes or resets the connection.
    pub fn until_end(&mut self) -> Vec<u8> {
        loop {
            match self.wait(DEADLINE) {
                Arrival::Bytes => {}
                Arrival::End => return std::mem::take(&mut self.rest),
                Arrival::Nothing => panic!("the server does not close the connection"),
            }
        }
    }

    /// Reads and discards until the server closes.
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

    fn wait(&mut self, timeout: Duration) -> Arrival {
        self.stream
            .set_read_timeout(Some(timeout))
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
                ErrorKind::Interrupted => self.wait(timeout),
                _ => Arrival::End,
            },
        }
    }
}

/// A complete response.
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

    /// The value of a header, which may occur once; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// True if a comma-separated header contains this word.
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

    /// Asserts an error response of any route, and returns its message.
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

    /// Asserts the exact body and a JSON content type.
    #[track_caller]
    pub fn expect_json(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.text()), (status, body));
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{self:?}");
    }
}
