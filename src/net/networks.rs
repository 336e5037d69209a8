//! A list of addresses and networks, as a setting has it: `10.0.0.0/8, ::1`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Networks in CIDR notation (RFC 4632, RFC 4291 §2.3); an address alone is a network of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads a comma-separated list; spaces around commas are ignored.
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
                .ok_or_else(|| entry.to_owned())
        };
        entries.map(read).collect::<Result<_, _>>().map(Networks)
    }

    /// Whether an address is in one of the networks.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
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
    fn an_entry_that_is_neither_is_named() {
        for wrong in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.1:80",
            "::/129",
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
