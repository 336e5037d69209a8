//! A list of addresses and networks, as a setting has it: `10.0.0.0/8, ::1`.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Leading bits that all IPv4 addresses have in common when they are mapped into IPv6.
const MAPPED_BITS: u8 = 96;

/// Networks in CIDR notation (RFC 4632, RFC 4291 §2.3); an address alone is a network of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads a comma-separated list; spaces around commas are ignored. IPv4 that is written as IPv6
    /// (`::ffff:10.0.0.0/104`) is stored as the IPv4 that it is.
    ///
    /// # Errors
    /// The first entry that is neither an address nor a network.
    pub fn parse(list: &str) -> Result<Networks, String> {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            let address = entry.parse::<IpAddr>().map(IpNet::from).ok();
            address
                .or_else(|| entry.parse().ok())
                .and_then(canonical)
                .ok_or_else(|| entry.to_owned())
        };
        entries.map(read).collect::<Result<_, _>>().map(Networks)
    }

    /// Whether an address, in its canonical form, is in one of the networks.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The same network, of IPv4 if it is mapped into IPv6 (RFC 4291 §2.5.5.2): peers are compared in
/// that form. None if it is mapped and larger than all of IPv4, which nobody means.
fn canonical(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(mapped) = network else {
        return Some(network);
    };
    let Some(address) = mapped.addr().to_ipv4_mapped() else {
        return Some(network);
    };
    let prefix = mapped.prefix_len().checked_sub(MAPPED_BITS)?;
    Ipv4Net::new(address, prefix).map(IpNet::V4).ok()
}

/// The list as one would write it in the setting; `none` where it is empty.
impl fmt::Display for Networks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        if networks.is_empty() {
            return formatter.write_str("none");
        }
        formatter.write_str(&networks.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contain(list: &str, address: &str) -> bool {
        let networks = Networks::parse(list).unwrap();
        networks.contain(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_contain_what_they_say() {
        assert!(contain("127.0.0.1", "127.0.0.1") && !contain("127.0.0.1", "127.0.0.2"));
        assert!(contain(" 10.0.0.0/8 , ::1 ", "10.200.1.1"));
        assert!(contain("10.0.0.0/8,2001:db8::/32", "2001:db8:1::5"));
        assert!(!contain("10.0.0.0/8", "::1") && !contain("", "10.0.0.1"));
        assert!(contain("0.0.0.0/0", "8.8.8.8"));
    }

    #[test]
    fn ipv4_that_is_written_as_ipv6_is_ipv4() {
        assert!(contain("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(contain("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contain("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(contain("::ffff:0:0/96", "8.8.8.8") && !contain("::/0", "8.8.8.8"));
        let networks = Networks::parse("::ffff:127.0.0.1, ::FFFF:a00:0/104").unwrap();
        assert_eq!(networks.to_string(), "127.0.0.1/32, 10.0.0.0/8");
    }

    #[test]
    fn an_entry_that_is_neither_is_named() {
        for wrong in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.1:80",
            "::/129",
            "::ffff:10.0.0.0/8",
        ] {
            let list = format!("127.0.0.1, {wrong}");
            assert_eq!(Networks::parse(&list), Err(wrong.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(list in "[0-9a-f.:/, ]{0,40}") {
            let _ = Networks::parse(&list);
        }
    }
}
