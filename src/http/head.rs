//! The head of a request: its request line and headers (RFC 9112 §2 to §6).
//!
//! httparse parses it. What httparse is lenient about, and what two parsers on the way could read
//! as two different requests, is rejected here. `head_end` finds where a head ends.

use std::borrow::Cow;

use super::error::HttpError;
use super::head_end;
use super::headers::Headers;
use super::status::Status;
use crate::protocol::limits::MAX_HEADERS;

/// Characters that no host and no port has (RFC 3986 §3.2.2).
const NOT_IN_A_HOST: [char; 8] = [' ', '\t', ',', '/', '?', '#', '@', '\\'];

/// A method, as far as a route of ours knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// Any other.
    Other,
}

impl Method {
    /// Methods are compared with case (RFC 9110 §9.1).
    fn of(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        }
    }
}

/// A version of HTTP that the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of the body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes follow; 0 without a body.
    Length(usize),
    /// Chunks follow.
    Chunked,
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path, without the query and a trailing slash.
    pub path: String,
    /// The query, without its question mark, if there is one.
    pub query: Option<String>,
    /// The version of HTTP.
    pub version: Version,
    /// How the end of the body is found.
    pub framing: Framing,
    /// Its size in bytes, as it arrived.
    pub size: usize,
    headers: Headers,
}

impl Head {
    /// Parses a head at the front of `input`; returns it with its size in bytes, or none if it has
    /// not arrived whole.
    ///
    /// # Errors
    /// 400, 414, 431, 501 or 505.
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
            return Err(HttpError::bad_request("request head is not complete"));
        };
        let (path, query) = split_target(target);
        let head = Head {
            method: Method::of(method),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            version: if minor == 0 {
                Version::Http10
            } else {
                Version::Http11
            },
            framing: Framing::Length(0),
            size: end,
            headers: Headers::of(request.headers),
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

    /// The value of a header; the first if there are several.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Every value of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.values(name)
    }

    /// The value of a parameter of the query; the first if there are several.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.query.as_deref().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Whether a comma-separated header has a token, in any case (RFC 9110 §5.6.1).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let mut tokens = self
            .values(name)
            .flat_map(|value| value.split(','))
            .map(str::trim);
        tokens.any(|found| found.eq_ignore_ascii_case(token))
    }

    /// Whether the client wants to keep the connection after the response (RFC 9112 §9.3).
    pub fn wants_more(&self) -> bool {
        match self.version {
            _ if self.has_token("Connection", "close") => false,
            Version::Http10 => self.has_token("Connection", "keep-alive"),
            _ => true,
        }
    }

    /// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// 417 for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, HttpError> {
        match self.header("Expect") {
            None | Some("") => Ok(false),
            Some(expected) if expected.eq_ignore_ascii_case("100-continue") => {
                Ok(self.version == Version::Http11)
            }
            Some(_) => Err(HttpError::new(
                Status::ExpectationFailed,
                "the only expectation known is 100-continue",
            )),
        }
    }

    /// Checks that there is one valid `Host` (RFC 9112 §3.2).
    fn check_host(&self) -> Result<(), HttpError> {
        let mut hosts = self.values("Host");
        let sentence = match (hosts.next(), hosts.next()) {
            (None, _) if self.version == Version::Http11 => "Host is missing",
            (Some(_), Some(_)) => "Host is given more than once",
            (Some(host), _) if host.contains(NOT_IN_A_HOST) => "Host is not a host with a port",
            _ => return Ok(()),
        };
        Err(HttpError::bad_request(sentence))
    }

    /// RFC 9112 §6.3.
    fn find_framing(&self) -> Result<Framing, HttpError> {
        let lengths: Vec<&str> = self.values("Content-Length").collect();
        let is_coded = self.values("Transfer-Encoding").next().is_some();
        match lengths[..] {
            [] if is_coded => self.check_coding(),
            [] => Ok(Framing::Length(0)),
            [_] if is_coded => Err(HttpError::bad_request(
                "Content-Length and Transfer-Encoding are both given",
            )),
            [length] => content_length(length).map(Framing::Length),
            _ => Err(HttpError::bad_request(
                "Content-Length is given more than once",
            )),
        }
    }

    /// Checks that the transfer coding is chunked (RFC 9112 §6.1).
    fn check_coding(&self) -> Result<Framing, HttpError> {
        if self.version == Version::Http10 {
            return Err(HttpError::bad_request(
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
                Status::NotImplemented,
                "the only Transfer-Encoding known is chunked",
            ));
        }
        match codings.len() {
            1 => Ok(Framing::Chunked),
            _ => Err(HttpError::bad_request(
                "Transfer-Encoding is chunked more than once",
            )),
        }
    }
}

fn malformed(error: httparse::Error, head: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => HttpError::new(
            Status::HeadersTooLarge,
            format!("request has over {MAX_HEADERS} headers"),
        ),
        httparse::Error::Version if names_a_version(head) => HttpError::new(
            Status::VersionNotSupported,
            "HTTP version is not 1.0 or 1.1",
        ),
        httparse::Error::Version => HttpError::bad_request(
            "request line is not a method, a target and HTTP/1.1; a space in a target is %20",
        ),
        error => HttpError::bad_request(format!("request head is malformed: {error}")),
    }
}

/// Whether the request line has three words, of which the last is a version of HTTP (RFC 9112
/// §2.3).
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

/// The path and the query of a request target. The path loses scheme and host of an absolute
/// target (RFC 9112 §3.2.2) and one trailing slash.
fn split_target(target: &str) -> (&str, Option<&str>) {
    let origin_form = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let without_fragment = origin_form.split('#').next().unwrap_or(origin_form);
    let (path, query) = match without_fragment.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (without_fragment, None),
    };
    let path = match path.strip_suffix('/') {
        Some("") => path,
        Some(trimmed) => trimmed,
        None if path.is_empty() => "/",
        None => path,
    };
    (path, query)
}

fn content_length(value: &str) -> Result<usize, HttpError> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HttpError::bad_request("Content-Length is not a number"));
    }
    Ok(value.parse().unwrap_or(usize::MAX)) // too long for the type: over every limit
}

#[cfg(test)]
mod tests;
