//! The head of a request: its line and its headers (RFC 9112 §2 – §6).
//!
//! httparse reads it. What it is lenient about, and what could make two parsers on the
//! way see two different requests, is refused here. Where a head ends, `extent` knows.

use tiny_http::{HTTPVersion, Header, Method};

use super::{Refusal, extent};

/// Most headers in a head.
const MAX_HEADERS: usize = 100;

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
    pub fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
        let Some(end) = extent::find_end(input)? else {
            return Ok(None);
        };
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&input[..end]).map_err(malformed)?;
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(Refusal::new(400, "request head is not complete"));
        };
        let headers = request
            .headers
            .iter()
            .filter_map(keep)
            .collect::<Result<_, _>>()?;
        let head = Head {
            method: method
                .parse()
                .map_err(|()| Refusal::new(400, "method is not a token"))?,
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
            HTTPVersion(1, 0) => self.has_token("Connection", "keep-alive"),
            _ => !self.has_token("Connection", "close"),
        }
    }

    /// Whether the client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// A refusal with 417 for an expectation that we don't know.
    pub fn expects_continue(&self) -> Result<bool, Refusal> {
        match self.header("Expect") {
            None => Ok(false),
            Some(expected) if expected.eq_ignore_ascii_case("100-continue") => {
                Ok(self.version == HTTPVersion(1, 1))
            }
            Some(_) => Err(Refusal::new(
                417,
                "the only expectation known is 100-continue",
            )),
        }
    }

    /// RFC 9112 §3.2.
    fn check_host(&self) -> Result<(), Refusal> {
        match self.values("Host").count() {
            0 if self.version == HTTPVersion(1, 1) => Err(Refusal::new(400, "Host is missing")),
            0 | 1 => Ok(()),
            _ => Err(Refusal::new(400, "Host is given more than once")),
        }
    }

    fn find_framing(&self) -> Result<Framing, Refusal> {
        let lengths: Vec<&str> = self.values("Content-Length").collect();
        let is_coded = self.values("Transfer-Encoding").next().is_some();
        match lengths[..] {
            [] if is_coded => self.check_coding(),
            [] => Ok(Framing::Length(0)),
            [_] if is_coded => Err(Refusal::new(
                400,
                "Content-Length and Transfer-Encoding are both given",
            )),
            [length] => content_length(length).map(Framing::Length),
            _ => Err(Refusal::new(400, "Content-Length is given more than once")),
        }
    }

    /// RFC 9112 §6.1.
    fn check_coding(&self) -> Result<Framing, Refusal> {
        if self.version == HTTPVersion(1, 0) {
            return Err(Refusal::new(
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
            return Err(Refusal::new(
                501,
                "the only Transfer-Encoding known is chunked",
            ));
        }
        match codings.len() {
            1 => Ok(Framing::Chunked),
            _ => Err(Refusal::new(
                400,
                "Transfer-Encoding is chunked more than once",
            )),
        }
    }
}

fn malformed(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => {
            Refusal::new(431, format!("request has over {MAX_HEADERS} headers"))
        }
        httparse::Error::Version => Refusal::new(505, "HTTP version is not 1.0 or 1.1"),
        error => Refusal::new(400, format!("request head is malformed: {error}")),
    }
}

fn keep(header: &httparse::Header<'_>) -> Option<Result<Header, Refusal>> {
    let name = KEPT
        .iter()
        .find(|kept| kept.eq_ignore_ascii_case(header.name))?;
    let value = header.value.trim_ascii();
    let kept = Header::from_bytes(name.as_bytes(), value);
    Some(kept.map_err(|()| Refusal::new(400, format!("{name} has bytes outside ASCII"))))
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

fn content_length(value: &str) -> Result<usize, Refusal> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::new(400, "Content-Length is not a number"));
    }
    Ok(value.parse().unwrap_or(usize::MAX)) // too long for the type is too long for every limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extent::{MAX_HEAD, MAX_REQUEST_LINE};

    fn parse(head: &str) -> Result<Option<(Head, usize)>, Refusal> {
        Head::parse(head.as_bytes())
    }

    fn status(head: &str) -> u16 {
        parse(head).expect_err("a refusal").status
    }

    fn whole(head: &str) -> Head {
        parse(head).expect("a head").expect("a whole head").0
    }

    #[test]
    fn a_usual_head_is_read() {
        let text = "POST /broadcast/?a=b HTTP/1.1\r\nhOsT: x\r\nContent-Length: 12\r\n\r\nrest";
        let (head, size) = parse(text).unwrap().unwrap();
        assert_eq!(
            (head.method, head.path.as_str()),
            (Method::Post, "/broadcast")
        );
        assert_eq!((head.framing, size), (Framing::Length(12), text.len() - 4));
    }

    #[test]
    fn a_head_that_is_not_there_yet_is_waited_for() {
        for part in [
            "",
            "\r\n",
            "G",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\r",
        ] {
            assert!(parse(part).unwrap().is_none(), "{part:?}");
        }
    }

    #[test]
    fn paths_are_found_in_every_form_of_target() {
        for (target, expected) in [
            ("/", "/"),
            ("/?x", "/"),
            ("/info.json/", "/info.json"),
            ("/a?b=/c/", "/a"),
            ("http://h:1/healthz?x", "/healthz"),
            ("http://h", "/"),
            ("http://h?x", "/"),
            ("*", "*"),
            ("/r?u=http://x/y", "/r"),
        ] {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for lines in [
            "Host: x\r\nContent-Length: 1\r\nContent-Length: 1",
            "Host: x\r\nContent-Length: 1\r\nContent-Length: 2",
            "Host: x\r\nContent-Length: 1, 1",
            "Host: x\r\nContent-Length: +1",
            "Host: x\r\nContent-Length: ",
            "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
            "Host: x\r\nTransfer-Encoding: chunked, chunked",
            "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Host: x\r\n folded",
            "Host: x\nA: b",
            "Host : x",
            "Host: a\0b",
            "Host: x\r\nHost: x",
            "Accept: */*",
        ] {
            assert_eq!(
                status(&format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")),
                400,
                "{lines:?}"
            );
        }
        assert_eq!(
            status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400
        );
        assert_eq!(status("\x16\x03\x01\x02"), 400);
        assert_eq!(status("GET /\r\n\r\n"), 400);
    }

    #[test]
    fn what_we_do_not_know_is_told_as_such() {
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
            501
        );
        assert_eq!(status("PRI * HTTP/2.0\r\n\r\n"), 505);
        let head = whole("GET / HTTP/1.1\r\nHost: x\r\nExpect: cake\r\n\r\n");
        assert_eq!(head.expects_continue().unwrap_err().status, 417);
    }

    #[test]
    fn limits_hold_before_the_end_has_come() {
        assert_eq!(
            status(&format!("GET /{}", "x".repeat(MAX_REQUEST_LINE))),
            414
        );
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(MAX_HEAD))),
            431
        );
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
        let most = "A: b\r\n".repeat(MAX_HEADERS - 1);
        whole(&format!("GET / HTTP/1.1\r\nHost: x\r\n{most}\r\n"));
    }

    #[test]
    fn what_has_come_behind_a_limit_changes_no_refusal() {
        let line = format!("GET /{}\n", "x".repeat(2 * MAX_REQUEST_LINE));
        assert_eq!(status(&line), 414);
        let head = format!("GET / HTTP/1.1\r\nA: {}\n", "x".repeat(MAX_HEAD));
        assert_eq!(status(&head), 431);
        let empty_lines = "\r\n".repeat(MAX_HEAD / 3);
        assert_eq!(status(&format!("{empty_lines}{line}")), 431);
    }

    #[test]
    fn keep_alive_follows_the_version() {
        assert!(whole("GET / HTTP/1.1\r\nHost: x\r\n\r\n").wants_more());
        assert!(!whole("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, CLOSE\r\n\r\n").wants_more());
        assert!(!whole("GET / HTTP/1.0\r\n\r\n").wants_more());
        assert!(whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").wants_more());
    }

    #[test]
    fn headers_that_mean_nothing_here_may_hold_any_text() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\nCookie: na\u{ef}ve\r\n\r\n";
        whole(head);
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: x\r\nOrigin: na\u{ef}ve\r\n\r\n"),
            400
        );
    }
}
