//! Requests to one server over one connection that stays open (RFC 9112).

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Trouble, Url};
use crate::http::Chunked;

/// For a connection to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest head of an answer, and most headers in it; those of the server are far smaller,
/// but a proxy may add its own.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
/// Longest body of an answer, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Read at once, in bytes.
const BUFFER: usize = 8 * 1024;

/// A connection to a server; made when it is first needed, and again when it has ended.
#[derive(Debug)]
pub struct Connection {
    url: Url,
    /// From a request's first byte to its answer's last.
    patience: Duration,
    stream: Option<TcpStream>,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// What an answer's head says about the rest.
struct Head {
    status: u16,
    /// Where it ends in what was read.
    size: usize,
    framing: Framing,
    stays_open: bool,
}

enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Connection {
    /// A connection that is not made yet.
    pub fn new(url: Url, patience: Duration) -> Connection {
        Connection {
            url,
            patience,
            stream: None,
        }
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// `GET` of an endpoint.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&mut self, endpoint: &str) -> Result<Response, Trouble> {
        let head = self.head("GET", endpoint, "");
        self.ask(head.as_bytes())
    }

    /// `POST` of a JSON text to an endpoint.
    ///
    /// # Errors
    /// When there is no answer. Whether the request arrived is not known then, so it is
    /// not sent again.
    pub fn post(&mut self, endpoint: &str, json: &str) -> Result<Response, Trouble> {
        let length = json.len();
        let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        let request = self.head("POST", endpoint, &headers) + json;
        self.ask(request.as_bytes())
    }

    fn head(&self, method: &str, endpoint: &str, headers: &str) -> String {
        let (path, host) = (self.url.path(endpoint), self.url.authority());
        let agent = concat!("bifrost/", env!("CARGO_PKG_VERSION"));
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n{headers}\r\n")
    }

    fn ask(&mut self, request: &[u8]) -> Result<Response, Trouble> {
        let deadline = Instant::now() + self.patience;
        let mut stream = match self.stream.take().filter(is_alive) {
            Some(stream) => stream,
            None => connect(&self.url)?,
        };
        let sent = limit(&stream, deadline).and_then(|()| stream.write_all(request));
        // A server that turns a request down early answers before it has taken all of it.
        let (response, stays_open) = match (receive(&mut stream, deadline), sent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) => return Err(Trouble::Broken(error)),
            (Err(trouble), Ok(())) => return Err(trouble),
        };
        self.stream = stays_open.then_some(stream);
        Ok(response)
    }
}

/// Whether a connection that was left open still is: nothing waits on it, not even its end.
fn is_alive(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let is_quiet = peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    is_quiet && stream.set_nonblocking(false).is_ok()
}

fn connect(url: &Url) -> Result<TcpStream, Trouble> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in url.addresses().map_err(Trouble::Unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(Trouble::Unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(Trouble::Unreachable(last))
}

fn limit(stream: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

/// Reads one answer; also whether another may follow it.
fn receive(stream: &mut TcpStream, deadline: Instant) -> Result<(Response, bool), Trouble> {
    let mut input = Vec::new();
    let head = loop {
        match parse_head(&input)? {
            // What comes first may be a 100 or the like, which is not the answer.
            Some(head) if head.status < 200 => drop(input.drain(..head.size)),
            Some(head) => break head,
            None => match read(stream, &mut input, deadline)? {
                0 if input.is_empty() => {
                    let error = io::Error::new(ErrorKind::UnexpectedEof, "no answer came");
                    return Err(Trouble::Broken(error));
                }
                0 => return Err(cut_short()),
                _ => {}
            },
        }
    };
    input.drain(..head.size);
    let body = receive_body(stream, input, &head.framing, deadline)?;
    let status = head.status;
    Ok((Response { status, body }, head.stays_open))
}

fn receive_body(
    stream: &mut TcpStream,
    mut input: Vec<u8>,
    framing: &Framing,
    deadline: Instant,
) -> Result<Vec<u8>, Trouble> {
    let (mut chunked, mut body) = (Chunked::Size, Vec::new());
    loop {
        match framing {
            Framing::Length(length) if input.len() >= *length => {
                input.truncate(*length);
                return Ok(input);
            }
            Framing::Chunked => {
                let whole = chunked.advance(&mut input, &mut body, MAX_BODY);
                if whole.map_err(|refusal| Trouble::Foreign(refusal.message))? {
                    return Ok(body);
                }
            }
            Framing::Length(_) | Framing::UntilEnd => {}
        }
        if input.len() > MAX_BODY {
            return Err(foreign("the answer is too long for a server of ours"));
        }
        if read(stream, &mut input, deadline)? == 0 {
            return match framing {
                Framing::UntilEnd => Ok(input),
                Framing::Length(_) | Framing::Chunked => Err(cut_short()),
            };
        }
    }
}

fn read(stream: &mut TcpStream, input: &mut Vec<u8>, deadline: Instant) -> Result<usize, Trouble> {
    let mut buffer = [0; BUFFER];
    loop {
        limit(stream, deadline).map_err(Trouble::Broken)?;
        match stream.read(&mut buffer) {
            Ok(size) => {
                input.extend_from_slice(&buffer[..size]);
                return Ok(size);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::Broken(error)),
        }
    }
}

fn parse_head(input: &[u8]) -> Result<Option<Head>, Trouble> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(input) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => {
            return Err(foreign("what answers there does not speak HTTP"));
        }
    };
    let status = response.code.unwrap_or_default();
    let header = |name: &str| {
        let mut all = response.headers.iter();
        let found = all.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let framing = match (header("Transfer-Encoding"), header("Content-Length")) {
        _ if status < 200 || status == 204 || status == 304 => Framing::Length(0),
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        (Some(_), _) => return Err(foreign("the answer is coded in an unknown way")),
        (None, Some(length)) => match length.parse() {
            Ok(length) => Framing::Length(length),
            Err(_) => return Err(foreign("the answer's Content-Length is not a number")),
        },
        (None, None) => Framing::UntilEnd,
    };
    let closes = header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some(Head {
        status,
        size,
        stays_open: response.version == Some(1) && !closes && !matches!(framing, Framing::UntilEnd),
        framing,
    }))
}

fn foreign(what: &str) -> Trouble {
    Trouble::Foreign(what.into())
}

fn cut_short() -> Trouble {
    let error = io::Error::new(ErrorKind::UnexpectedEof, "the answer is cut short");
    Trouble::Broken(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;
    use std::thread;

    /// What comes of a server that takes any request and answers with these bytes.
    fn answer(bytes: &'static [u8]) -> Result<(Response, bool), Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let result = receive(&mut stream, Instant::now() + Duration::from_secs(20));
        server.join().unwrap();
        result
    }

    #[track_caller]
    fn expect(bytes: &'static [u8], status: u16, body: &str, stays_open: bool) {
        let (response, open) = answer(bytes).unwrap();
        assert_eq!((response.status, open), (status, stays_open));
        assert_eq!(String::from_utf8(response.body).unwrap(), body);
    }

    #[test]
    fn every_framing_is_read() {
        expect(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            200,
            "hi",
            true,
        );
        expect(
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
            "",
            true,
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        expect(chunked, 200, "hi", true);
        expect(
            b"HTTP/1.1 200 OK\r\n\r\nto the end",
            200,
            "to the end",
            false,
        );
        expect(b"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 X\r\nContent-Length: 1\r\n\r\nx";
        expect(interim, 413, "x", true);
    }

    #[test]
    fn a_connection_that_will_close_is_not_used_again() {
        let close = b"HTTP/1.1 400 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        expect(close, 400, "", false);
        expect(
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            "",
            false,
        );
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (bytes, words) in [
            (&b""[..], "no answer came"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
                "cut short",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Le", "cut short"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                "not a number",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                "unknown way",
            ),
            (b"SSH-2.0-OpenSSH_9.9\r\n", "does not speak HTTP"),
        ] {
            let trouble = answer(bytes).unwrap_err().to_string();
            assert!(trouble.contains(words), "{trouble}");
        }
    }

    proptest! {
        #[test]
        fn no_head_makes_it_panic(text in "(HTTP/1.1 [0-9]{0,4} )?[ -~\r\n]{0,80}") {
            let _ = parse_head(text.as_bytes());
        }
    }
}
