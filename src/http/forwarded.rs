//! The client's address behind proxies: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Each proxy appends the address that it saw to the list that it received. Only what a trusted
//! proxy has appended can be believed, so the list is read from its end.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::head::Head;

/// What a trusted proxy says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Nothing: it sends no list.
    Unlisted,
    /// Its address.
    Known(IpAddr),
    /// Something that is no address, such as `unknown` (RFC 7239 §6.2).
    Unreadable,
}

/// The client in a request of a trusted proxy: the last one in the list that is not a trusted proxy
/// itself.
pub fn client(head: &Head, is_trusted: impl Fn(IpAddr) -> bool) -> Client {
    let listed: Vec<&str> = head.values("X-Forwarded-For").collect();
    let mut addresses: Vec<Option<IpAddr>> = if listed.is_empty() {
        head.values("Forwarded")
            .flat_map(|value| value.split(','))
            .map(forwarded_for)
            .collect()
    } else {
        let entries = listed.iter().flat_map(|value| value.split(','));
        entries.map(address).collect()
    };
    let mut last = Client::Unlisted;
    while let Some(address) = addresses.pop() {
        match address {
            None => return Client::Unreadable,
            Some(address) if !is_trusted(address) => return Client::Known(address),
            Some(proxy) => last = Client::Known(proxy),
        }
    }
    last
}

/// The parameter `for` of one element (RFC 7239 §4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node = node.trim();
    let quoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    address(quoted.unwrap_or(node))
}

/// An address with or without a port; IPv6 with or without brackets and a zone (RFC 4007 §11), which
/// means something only to the proxy.
fn address(text: &str) -> Option<IpAddr> {
    let text = without_zone(text.trim());
    let text = text.as_ref();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// `[fe80::1%eth0]:80` as `[fe80::1]:80`.
fn without_zone(text: &str) -> Cow<'_, str> {
    let Some((address, zone)) = text.split_once('%') else {
        return Cow::Borrowed(text);
    };
    let port = zone.find(']').map_or("", |end| &zone[end..]);
    Cow::Owned(format!("{address}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(headers: &str) -> Option<String> {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
        let (head, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        match client(&head, |address| address == proxy) {
            Client::Known(address) => Some(address.to_string()),
            Client::Unreadable => Some("unreadable".into()),
            Client::Unlisted => None,
        }
    }

    #[test]
    fn the_last_address_that_is_not_a_proxy_is_the_client() {
        for (headers, expected) in [
            ("X-Forwarded-For: 1.2.3.4", Some("1.2.3.4")),
            (
                "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1",
                Some("1.2.3.4"),
            ),
            (
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4",
                Some("1.2.3.4"),
            ),
            ("X-Forwarded-For: 10.0.0.1", Some("10.0.0.1")),
            ("X-Forwarded-For: 1.2.3.4:5678", Some("1.2.3.4")),
            ("X-Forwarded-For: ::ffff:1.2.3.4", Some("1.2.3.4")),
            ("X-Forwarded-For: [2001:db8::1]:80", Some("2001:db8::1")),
            ("Forwarded: for=1.2.3.4;proto=https", Some("1.2.3.4")),
            (
                "Forwarded: for=6.6.6.6, proto=http;For=\"[2001:db8::1]:47\"",
                Some("2001:db8::1"),
            ),
            (
                "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
                Some("5.6.7.8"),
            ),
            ("X-Forwarded-For: fe80::1%eth0", Some("fe80::1")),
            ("X-Forwarded-For: [fe80::1%25eth0]:80", Some("fe80::1")),
            ("Forwarded: for=\"[fe80::1%1]\"", Some("fe80::1")),
            ("X-Forwarded-For: 1.2.3.4, unknown", Some("unreadable")),
            ("X-Forwarded-For: unknown, 10.0.0.1", Some("unreadable")),
            ("X-Forwarded-For: 1.2.3.4%, x%y]", Some("unreadable")),
            ("Forwarded: for=_hidden", Some("unreadable")),
            ("Forwarded: by=1.2.3.4", Some("unreadable")),
            ("X-Forwarded-For: ", Some("unreadable")),
            ("A: b", None),
        ] {
            assert_eq!(found(headers).as_deref(), expected, "{headers}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value in "[ -~]{0,60}") {
            found(&format!("X-Forwarded-For: {value}"));
            found(&format!("Forwarded: {value}"));
        }

        #[test]
        fn the_address_that_the_proxy_appends_is_the_client(spoofed in "[ -~&&[^\"]]{0,30}", last in any::<[u8; 4]>()) {
            prop_assume!(last != [10, 0, 0, 1]);
            let last = IpAddr::from(last).to_string();
            let seen = found(&format!("X-Forwarded-For: {spoofed}, {last}"));
            prop_assert_eq!(seen, Some(last));
        }
    }
}
