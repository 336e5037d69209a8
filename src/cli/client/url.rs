//! Where a server is: `http://host:port/prefix`, of which port and prefix may be left out.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use http::Uri;
use http::uri::Authority;

const DEFAULT_PORT: u16 = 80;
/// Endpoints that people leave at the end of a URL that they have copied.
const ENDPOINTS: [&str; 2] = ["/broadcast", "/subscribe"];

/// What to use where there is no host.
const HOST: &str = "a host after the ://, such as 127.0.0.1, [::1] or localhost";
/// What to use where a character can't stand in a URL.
const ENCODED: &str = "a URL of ASCII characters without spaces; write others as %20 and the like";
/// What to use where the host is no IPv6 address, but looks like one.
const IPV6: &str = "an IPv6 address between [ and ]";

/// The base of a server's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// A name or an address; IPv6 without its brackets.
    host: String,
    port: u16,
    /// Empty, or a path without the slash at its end: what a proxy puts before ours.
    prefix: String,
}

impl Url {
    /// Reads a URL; `ws://` is as good as `http://`, since one server speaks both.
    ///
    /// # Errors
    /// What may stand there instead, for a sentence that goes `… is "…"; use …`.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("http://HOST:PORT, such as http://127.0.0.1:3000")?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => {}
            "https" | "wss" => {
                return Err(
                    "http:// or ws://, since this command speaks no TLS: give the server's own \
                     port, such as http://127.0.0.1:3000, or send with curl",
                );
            }
            _ => return Err("http:// or ws:// before the host"),
        }
        if rest.contains(['?', '#']) {
            return Err("a URL without ? and #");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ENCODED);
        }
        let uri: Uri = text.parse().map_err(|_| fault(rest))?;
        let authority = uri.authority().ok_or(HOST)?;
        Ok(Url {
            host: host(authority)?.into(),
            port: port(authority)?,
            prefix: prefix(uri.path()).into(),
        })
    }

    /// Where a server with these settings is reached from its own machine: one that
    /// listens everywhere, over the loopback.
    pub fn of_server(host: &str, port: u16) -> Url {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = match host.parse() {
            Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
            _ => host.into(),
        };
        Url {
            host,
            port,
            prefix: String::new(),
        }
    }

    /// Every address that the host stands for, to be tried in this order.
    ///
    /// # Errors
    /// When the name does not resolve.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }

    /// Host and port, as the `Host` header has them.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port {
            DEFAULT_PORT => host,
            port => format!("{host}:{port}"),
        }
    }

    /// The URL of one of the server's endpoints.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// The URL of the WebSocket.
    pub fn websocket(&self) -> String {
        format!("ws://{}{}/subscribe", self.authority(), self.prefix)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority(), self.prefix)
    }
}

/// What to use instead of a URL whose rest, after the `://`, can't be parsed.
fn fault(rest: &str) -> &'static str {
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.parse::<Authority>().is_ok() {
        return ENCODED;
    }
    if rest.starts_with('[') { IPV6 } else { HOST }
}

fn host(authority: &Authority) -> Result<&str, &'static str> {
    if authority.as_str().contains('@') {
        return Err("a URL without a name and a password");
    }
    let host = authority.host();
    if let Some(address) = host.strip_prefix('[') {
        let address = address.trim_end_matches(']');
        return address
            .parse::<Ipv6Addr>()
            .map(|_| address)
            .map_err(|_| IPV6);
    }
    let is_part_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(is_part_of_a_name) {
        return Err(HOST);
    }
    Ok(host)
}

fn port(authority: &Authority) -> Result<u16, &'static str> {
    let after_host = &authority.as_str()[authority.host().len()..];
    if after_host.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let digits = after_host.strip_prefix(':').unwrap_or_default();
    // The standard parser would also take a plus sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|&port| is_number && port > 0);
    port.ok_or("a port from 1 to 65535 after the host")
}

/// The path without an endpoint of ours and the slash at its end.
fn prefix(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let without = ENDPOINTS.iter().find_map(|end| path.strip_suffix(end));
    without.unwrap_or(path).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (String, String, u16) {
        let url = Url::parse(text).unwrap();
        (url.to_string(), url.host, url.port)
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (text, base, host, port) in [
            ("http://localhost", "http://localhost", "localhost", 80),
            ("HTTP://a.example:80/", "http://a.example", "a.example", 80),
            (
                "ws://10.0.0.1:3000",
                "http://10.0.0.1:3000",
                "10.0.0.1",
                3000,
            ),
            ("http://[::1]:3000/", "http://[::1]:3000", "::1", 3000),
            ("http://h:1/a/b/", "http://h:1/a/b", "h", 1),
            ("ws://h:1/subscribe", "http://h:1", "h", 1),
            ("http://h:1/a/broadcast/", "http://h:1/a", "h", 1),
        ] {
            assert_eq!(read(text), (base.into(), host.into(), port), "{text}");
        }
    }

    #[test]
    fn endpoints_come_after_the_prefix() {
        let url = Url::parse("http://[::1]:3000/live/").unwrap();
        assert_eq!(
            url.endpoint("/broadcast"),
            "http://[::1]:3000/live/broadcast"
        );
        assert_eq!(url.websocket(), "ws://[::1]:3000/live/subscribe");
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused() {
        for text in [
            "",
            "localhost:3000",
            "http://",
            "http://:3000",
            "http://h:",
            "http://h:0",
            "http://h:+1",
            "http://h:65536",
            "http://h:80a",
            "http://user:pass@h",
            "http://[::1",
            "http://[::1]3000",
            "http://[h]:1",
            "http://a b",
            "http://h/\r\nX: y",
            "http://h/ä",
            "http://h/?q",
            "http://h#f",
            "ftp://h",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_sentence_names_what_is_wrong() {
        for (text, words) in [
            ("http://", "a host"),
            ("http://:3000", "a host"),
            ("http://h:80a", "a port"),
            ("http://[::1]3000", "a port"),
            ("http://[h]:1", "IPv6"),
            ("http://[::1", "IPv6"),
            ("http://user:pass@h", "a password"),
            ("http://h/a b", "spaces"),
            ("http://h/\u{e4}", "ASCII"),
            ("http://h/<", "%20"),
            ("http://h/?q", "without ?"),
            ("ftp://h", "before the host"),
        ] {
            let cure = Url::parse(text).unwrap_err();
            assert!(cure.contains(words), "{text}: {cure}");
        }
    }

    #[test]
    fn tls_is_refused_with_the_cure() {
        for text in ["https://a.example", "wss://a.example/subscribe"] {
            let cure = Url::parse(text).unwrap_err();
            assert!(cure.contains("no TLS") && cure.contains("curl"), "{cure}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_over_the_loopback() {
        for (host, url) in [
            ("0.0.0.0", "http://127.0.0.1:3000"),
            ("::", "http://[::1]:3000"),
            ("[::]", "http://[::1]:3000"),
            ("192.0.2.1", "http://192.0.2.1:3000"),
            ("localhost", "http://localhost:3000"),
        ] {
            assert_eq!(Url::of_server(host, 3000).to_string(), url);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(http|ws)?(://)?\\PC{0,30}") {
            let _ = Url::parse(&text);
        }

        #[test]
        fn what_is_told_can_be_read_back(
            host in "[a-z0-9.-]{1,10}|\\[::1\\]",
            port in prop::option::of(1_u16..),
            prefix in "(/[a-z]{1,5}){0,3}",
        ) {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let url = Url::parse(&format!("http://{host}{port}{prefix}")).unwrap();
            prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
        }
    }
}
