//! Where the two listeners are to be: what a host may look like, and whether they would meet.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whether a text is an address, or may be a name.
pub fn is_host(text: &str) -> bool {
    let is_part_of_a_name = |c: char| c.is_alphanumeric() || "-._".contains(c);
    !text.is_empty() && text.chars().all(is_part_of_a_name) || is_ipv6(text)
}

/// Whether a text is a host with a port behind it.
pub fn has_port(text: &str) -> bool {
    let parts = text.rsplit_once(':').filter(|_| !is_host(text));
    parts.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

/// An address may be in brackets, and may say by which interface (RFC 4007 §11).
fn is_ipv6(text: &str) -> bool {
    let text = without_brackets(text);
    let (address, zone) = text.split_once('%').unwrap_or((text, "-"));
    let is_part_of_a_zone = |c: char| c.is_alphanumeric() || "-._".contains(c);
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_part_of_a_zone)
}

fn without_brackets(host: &str) -> &str {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host)
}

/// Whether who listens on a host and a port leaves an address to nobody else. What a name
/// stands for, only the bind finds out.
pub fn meet(host: &str, port: u16, other: SocketAddr) -> bool {
    let Ok(address) = without_brackets(host).parse::<IpAddr>() else {
        return false;
    };
    let (one, other, other_port) = (
        address.to_canonical(),
        other.ip().to_canonical(),
        other.port(),
    );
    let is_met = one == other || covers(one, other) || covers(other, one);
    port != 0 && port == other_port && is_met
}

/// Whether an address stands for all of the machine's, of which the other may be one. That of
/// IPv6 stands for those of IPv4 too (RFC 3493 §3.7).
fn covers(every: IpAddr, one: IpAddr) -> bool {
    every.is_unspecified() && (every.is_ipv6() || one.is_ipv4())
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
    fn a_port_behind_a_host_is_seen() {
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
    fn listeners_meet_on_the_same_port_of_the_same_address() {
        let meet = |host, port, other: &str| meet(host, port, other.parse().unwrap());
        for (host, other) in [
            ("127.0.0.1", "127.0.0.1:9"),
            ("0.0.0.0", "127.0.0.1:9"),
            ("127.0.0.1", "0.0.0.0:9"),
            ("::", "127.0.0.1:9"),
            ("127.0.0.1", "[::]:9"),
            ("[::1]", "[::1]:9"),
            ("::ffff:127.0.0.1", "127.0.0.1:9"),
        ] {
            assert!(meet(host, 9, other), "{host} {other}");
            assert!(!meet(host, 8, other), "{host} {other}");
        }
        for (host, other) in [
            ("127.0.0.1", "127.0.0.2:9"),
            ("0.0.0.0", "[::1]:9"),
            ("::1", "0.0.0.0:9"),
            ("localhost", "127.0.0.1:9"),
        ] {
            assert!(!meet(host, 9, other), "{host} {other}");
        }
        assert!(!meet("0.0.0.0", 0, "0.0.0.0:0"));
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
            let _ = meet(&text, 1, SocketAddr::from(([127, 0, 0, 1], 1)));
        }
    }
}
