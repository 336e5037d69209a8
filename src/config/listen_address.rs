//! Listen addresses: the syntax of a host, and whether two listeners would overlap.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whether a text is an IP address, or has the syntax of a host name.
pub fn is_host(text: &str) -> bool {
    let is_name_char = |c: char| c.is_alphanumeric() || "-._".contains(c);
    !text.is_empty() && text.chars().all(is_name_char) || is_ipv6(text)
}

/// Whether a text is a host followed by a port.
pub fn has_port(text: &str) -> bool {
    let parts = text.rsplit_once(':').filter(|_| !is_host(text));
    parts.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

/// An IPv6 address may be in brackets, and may have a zone: the interface (RFC 4007 §11).
fn is_ipv6(text: &str) -> bool {
    let text = without_brackets(text);
    let (address, zone) = text.split_once('%').unwrap_or((text, "-"));
    let is_zone_char = |c: char| c.is_alphanumeric() || "-._".contains(c);
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_zone_char)
}

fn without_brackets(host: &str) -> &str {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host)
}

/// Whether a listener on `host` and `port` already occupies the address `other`. A host name
/// is not looked up: only the bind finds out what it stands for.
pub fn overlap(host: &str, port: u16, other: SocketAddr) -> bool {
    let Ok(address) = without_brackets(host).parse::<IpAddr>() else {
        return false;
    };
    let (address, other_address) = (address.to_canonical(), other.ip().to_canonical());
    let is_same_port = port != 0 && port == other.port();
    is_same_port
        && (address == other_address
            || includes(address, other_address)
            || includes(other_address, address))
}

/// Whether `wildcard` stands for all addresses of the machine, `address` among them. The IPv6
/// wildcard includes the IPv4 addresses (RFC 3493 §3.7).
fn includes(wildcard: IpAddr, address: IpAddr) -> bool {
    wildcard.is_unspecified() && (wildcard.is_ipv6() || address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_addresses_and_names() {
        for host in [
            "127.0.0.1",
            "0.0.0.0",
            "::",
            "::1",
            "[::1]",
            "[::]",
            "::ffff:127.0.0.1",
            "fe80::1%eth0",
            "[fe80::1%2]",
            "localhost",
            "a_b.example.",
            "1:2:3:4:5:6:7:8",
        ] {
            assert!(is_host(host) && !has_port(host), "{host}");
        }
        for other in [
            "",
            "a b",
            "http://a",
            "a:b",
            ":3000",
            "1::2::3",
            "[127.0.0.1]",
            "[::1",
            "::1%",
            "::1%a b",
            "::1]",
        ] {
            assert!(!is_host(other) && !has_port(other), "{other}");
        }
    }

    #[test]
    fn a_port_after_a_host_is_recognised() {
        for text in [
            "127.0.0.1:3000",
            "localhost:80",
            "[::1]:3000",
            "a.example:0",
        ] {
            assert!(has_port(text) && !is_host(text), "{text}");
        }
        assert!(!has_port("127.0.0.1:65536") && !has_port("127.0.0.1:http"));
    }

    #[test]
    fn listeners_overlap_on_the_same_port_of_the_same_address() {
        let overlap = |host, port, other: &str| overlap(host, port, other.parse().unwrap());
        for (host, other) in [
            ("127.0.0.1", "127.0.0.1:9"),
            ("0.0.0.0", "127.0.0.1:9"),
            ("127.0.0.1", "0.0.0.0:9"),
            ("::", "127.0.0.1:9"),
            ("127.0.0.1", "[::]:9"),
            ("[::1]", "[::1]:9"),
            ("::ffff:127.0.0.1", "127.0.0.1:9"),
        ] {
            assert!(overlap(host, 9, other), "{host} {other}");
            assert!(!overlap(host, 8, other), "{host} {other}");
        }
        for (host, other) in [
            ("127.0.0.1", "127.0.0.2:9"),
            ("0.0.0.0", "[::1]:9"),
            ("::1", "0.0.0.0:9"),
            ("localhost", "127.0.0.1:9"),
        ] {
            assert!(!overlap(host, 9, other), "{host} {other}");
        }
        assert!(!overlap("0.0.0.0", 0, "0.0.0.0:0"));
    }

    proptest! {
        #[test]
        fn every_address_is_a_host_until_a_port_is_added(address: IpAddr, port: u16) {
            prop_assert!(is_host(&address.to_string()));
            let with_port = SocketAddr::new(address, port).to_string();
            prop_assert!(has_port(&with_port) && !is_host(&with_port));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-z.:%\\[\\]é ]{0,30}") {
            prop_assert!(!(has_port(&text) && is_host(&text)));
            let _ = overlap(&text, 1, SocketAddr::from(([127, 0, 0, 1], 1)));
        }
    }
}
