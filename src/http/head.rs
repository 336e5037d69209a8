//! The head of a request: its line and its headers (RFC 9112 §2 – §6).
//!
//! httparse reads it. What it is lenient about, and what could make two parsers on the
//! way see two different requests, is refused here. Where a head ends, `extent` knows.

use tiny_http::{HTTPVersion, Header, Method};

use super::{HttpError, head_end};

/// Most headers in a head.
const MAX_HEADERS: usize = 100;

/// What can't be in a host or a port (RFC 3986 §3.2.2).
const NOT_IN_A_HOST: [char; 8] = [' ', '\t', ',', '/', '?', '#', '@', '\\'];

/// The headers that mean something here; others are checked for form and dropped.
const KEPT: &[&str] = &[
    "Authorization",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Forwarded",
    "Host",
    "Origin",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Transfer-Encoding",
    "Upgrade",
    "X-Forwarded-For",
];

/// How the end of the body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes follow; 0 without a body.
    Length(usize),
    /// Chunks follow.
    Chunked,
}

/// A request's head, as far as it matters here.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path without query and trailing slash.
    pub path: String,
    /// 1.0 or 1.1.
    pub version: HTTPVersion,
    /// How the end of the body is found.
    pub framing: Framing,
    headers: Vec<Header>,
}

impl Head {
    /// Reads a head off the front of `input`; tells how many bytes it took. Nothing if it
    /// has not arrived whole.
    ///
    /// # Errors
    /// A refusal with 400, 414, 431, 501 or 505.
    pub fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
        let Some(end) = head_end::find_end(input)? else {
            return Ok(None);
        };
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request
            .parse(&input[..end])
            .map_err(|error| malformed(error, &input[..end]))?;
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(HttpError::new(400, "request head is not complete"));
        };
        let headers = request.headers.iter().filter_map(keep).collect();
        let head = Head {
            method: method
                .parse()
                .map_err(|()| HttpError::new(400, "method is not a token"))?,
            path: path(target).to_owned(),
            version: HTTPVersion(1, minor),
            framing: Framing::Length(0),
            headers,
        };
        head.check_host()?;
        Ok(Some((
            Head {
                framing: head.find_framing()?,
                ..head
            },
            end,
        )))
    }

    /// The value of a header that occurs once; the first of several.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every value of a header.
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        debug_assert!(KEPT.contains(&name), "{name} is not kept");
        let named = self
            .headers
            .iter()
            .filter(move |header| header.field.equiv(name));
        named.map(|header| header.value.as_str())
    }

    /// Whether a comma-separated header has a token, in any case (RFC 9110 §5.6.1).
    pub fn has_token(&self, name: &'static str, token: &str) -> bool {
        let mut tokens = self
            .values(name)
            .flat_map(|value| value.split(','))
            .map(str::trim);
        tokens.any(|found| found.eq_ignore_ascii_case(token))
    }

    /// Whether the client wants to go on after the answer (RFC 9112 §9.3).
    pub fn wants_more(&self) -> bool {
        match self.version {
            _ if self.has_token("Connection", "close") => false,
            HTTPVersion(1, 0) => self.has_token("Connection", "keep-alive"),
            _ => true,
        }
    }

    /// Whether the client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// A refusal with 417 for an expectation that we don't know.
    pub fn expects_continue(&self) -> Result<bool, HttpError> {
        match self.header("Expect") {
            None | Some("") => Ok(false),
            Some(expected) if expected.eq_ignore_ascii_case("100-continue") => {
                Ok(self.version == HTTPVersion(1, 1))
            }
            Some(_) => Err(HttpError::new(
                417,
                "the only expectation known is 100-continue",
            )),
        }
    }

    /// RFC 9112 §3.2.
    fn check_host(&self) -> Result<(), HttpError> {
        let mut hosts = self.values("Host");
        let sentence = match (hosts.next(), hosts.next()) {
            (None, _) if self.version == HTTPVersion(1, 1) => "Host is missing",
            (Some(_), Some(_)) => "Host is given more than once",
            (Some(host), _) if host.contains(NOT_IN_A_HOST) => "Host is not a host with a port",
            _ => return Ok(()),
        };
        Err(HttpError::new(400, sentence))
    }

    fn find_framing(&self) -> Result<Framing, HttpError> {
        let lengths: Vec<&str> = self.values("Content-Length").collect();
        let is_coded = self.values("Transfer-Encoding").next().is_some();
        match lengths[..] {
            [] if is_coded => self.check_coding(),
            [] => Ok(Framing::Length(0)),
            [_] if is_coded => Err(HttpError::new(
                400,
                "Content-Length and Transfer-Encoding are both given",
            )),
            [length] => content_length(length).map(Framing::Length),
            _ => Err(HttpError::new(
                400,
                "Content-Length is given more than once",
            )),
        }
    }

    /// RFC 9112 §6.1.
    fn check_coding(&self) -> Result<Framing, HttpError> {
        if self.version == HTTPVersion(1, 0) {
            return Err(HttpError::new(
                400,
                "Transfer-Encoding is not known to HTTP/1.0",
            ));
        }
        let values = self
            .values("Transfer-Encoding")
            .flat_map(|value| value.split(','));
        let codings: Vec<&str> = values.map(str::trim).collect();
        if codings
            .iter()
            .any(|coding| !coding.eq_ignore_ascii_case("chunked"))
        {
            return Err(HttpError::new(
                501,
                "the only Transfer-Encoding known is chunked",
            ));
        }
        match codings.len() {
            1 => Ok(Framing::Chunked),
            _ => Err(HttpError::new(
                400,
                "Transfer-Encoding is chunked more than once",
            )),
        }
    }
}

fn malformed(error: httparse::Error, head: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => {
            HttpError::new(431, format!("request has over {MAX_HEADERS} headers"))
        }
        httparse::Error::Version if names_a_version(head) => {
            HttpError::new(505, "HTTP version is not 1.0 or 1.1")
        }
        httparse::Error::Version => HttpError::new(
            400,
            "request line is not a method, a target and HTTP/1.1; a space in a target is %20",
        ),
        error => HttpError::new(400, format!("request head is malformed: {error}")),
    }
}

/// Whether the request line has three words, of which the last is the version of some HTTP
/// (RFC 9112 §2.3).
fn names_a_version(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| b"\r\n".contains(byte));
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let version = match words[..] {
        [_, _, version] => version.strip_prefix(b"HTTP/"),
        _ => None,
    };
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    version.is_some_and(|version| version.split(|&byte| byte == b'.').all(is_number))
}

/// Nothing that is asked of a header has bytes outside ASCII: each is as wrong as a `?`.
fn keep(header: &httparse::Header<'_>) -> Option<Header> {
    let name = KEPT
        .iter()
        .find(|kept| kept.eq_ignore_ascii_case(header.name))?;
    let ascii = |byte: &u8| if byte.is_ascii() { *byte } else { b'?' };
    let value: Vec<u8> = header.value.trim_ascii().iter().map(ascii).collect();
    Header::from_bytes(name.as_bytes(), value).ok()
}

/// Drops what stands around the path: scheme and host of an absolute target (RFC 9112
/// §3.2.2), the query, one trailing slash.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or(path);
    match path.strip_suffix('/') {
        Some("") | None if path.is_empty() => "/",
        Some("") | None => path,
        Some(trimmed) => trimmed,
    }
}

fn content_length(value: &str) -> Result<usize, HttpError> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HttpError::new(400, "Content-Length is not a number"));
    }
    Ok(value.parse().unwrap_or(usize::MAX)) // too long for the type is too long for every limit
}

#[cfg(test)]
mod tests;
