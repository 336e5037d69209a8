//! Requests whose `Host` is this machine: the guard against DNS rebinding.
//!
//! A page of a stranger can make its own host name resolve to 127.0.0.1, and then read what a browser
//! gets from there. The `Host` header still has the stranger's name (RFC 9110 §7.2), and no page can
//! change it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::error::HttpError;
use super::head::Head;
use super::status::Status;

/// The names under which a listener may be asked: `localhost`, those below it, every IP address, and
/// the name that it was told to listen on.
#[derive(Debug, Clone)]
pub struct LocalHost {
    address: SocketAddr,
    told: String,
}

impl LocalHost {
    /// The names of a listener on `address`, which was told to listen on the host `told`.
    pub fn new(address: SocketAddr, told: &str) -> LocalHost {
        let told = told.to_ascii_lowercase();
        LocalHost { address, told }
    }

    /// Checks that a request is for one of the names. One without a `Host` is not from a browser.
    ///
    /// # Errors
    /// 403 with a sentence that says what to open instead.
    pub fn check(&self, head: &Head) -> Result<(), HttpError> {
        if head.header("Host").is_none_or(|host| self.is_known(host)) {
            return Ok(());
        }
        let address = match self.address {
            any if any.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, any.port()).into(),
            address => address,
        };
        Err(HttpError::new(
            Status::Forbidden,
            format!("Host is a name that could be a stranger's; open http://{address} instead"),
        ))
    }

    fn is_known(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok()
            || name == self.told
    }
}

/// The host of a `Host` header, an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return address;
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(told: &str, headers: &str) -> Result<(), HttpError> {
        let text = format!("GET / HTTP/1.0\r\n{headers}\r\n");
        let (head, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
        LocalHost::new("0.0.0.0:3000".parse().unwrap(), told).check(&head)
    }

    #[test]
    fn this_machine_is_answered_by_address_and_as_localhost() {
        for host in [
            "localhost",
            "LocalHost:3000",
            "app.localhost",
            "localhost.:80",
            "127.0.0.1",
            "192.168.1.2:3000",
            "[::1]:3000",
            "[::1]",
            "Box.lan:3000",
        ] {
            assert_eq!(
                check("box.LAN", &format!("Host: {host}\r\n")),
                Ok(()),
                "{host}"
            );
        }
        assert_eq!(check("box.lan", ""), Ok(()));
    }

    #[test]
    fn every_other_name_is_refused() {
        for host in [
            "evil.example",
            "evil.example:3000",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "[evil.example]:80",
            "",
        ] {
            let error = check("127.0.0.1", &format!("Host: {host}\r\n")).unwrap_err();
            assert_eq!(error.status, Status::Forbidden);
            assert!(
                error.message.contains("open http://127.0.0.1:3000"),
                "{error:?}"
            );
        }
    }
}
