//! How many connections one address has, and how many it may have.
//!
//! Direct peers count from the accept on. Those behind a trusted proxy count when they
//! subscribe, by the address that the proxy names: before that, and for plain HTTP, the
//! connection is the proxy's own.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Networks;
use crate::http::{Head, HttpError, forwarded};

/// One subscriber of IPv6 has this many leading bits to itself (RFC 6177), and all addresses
/// below them; they count as one.
const SITE_BITS: u32 = 64;

/// What an address may have, and a handle on the counts; clones share both.
#[derive(Debug, Clone)]
pub struct PerIpLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// No limit, if nothing.
    limit: Option<usize>,
    proxies: Networks,
    counts: Counts,
}

/// How many connections each address has. Also without a limit: one may be set later.
#[derive(Debug, Clone, Default)]
struct Counts(
    /// Guards the map. Nothing under it waits.
    Arc<Mutex<HashMap<IpAddr, usize>>>,
);

/// An address has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverIpLimit {
    address: IpAddr,
    limit: usize,
}

impl fmt::Display for OverIpLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverIpLimit { address, limit } = self;
        write!(
            formatter,
            "{address} has {limit} connections open, which is all that it may; close some, or \
             raise BIFROST_MAX_CONNECTIONS_PER_IP"
        )
    }
}

impl From<OverIpLimit> for HttpError {
    fn from(too_many: OverIpLimit) -> HttpError {
        HttpError::new(503, too_many.to_string())
    }
}

impl PerIpLimit {
    /// Nobody is here yet; each address may have `limit` connections, but for trusted proxies.
    pub fn new(limit: Option<usize>, proxies: Networks) -> PerIpLimit {
        PerIpLimit(Arc::new(Shared {
            limit,
            proxies,
            counts: Counts::default(),
        }))
    }

    /// The same counts under other rules. Who is here already stays, and counts as before.
    #[must_use]
    pub fn under(&self, limit: Option<usize>, proxies: Networks) -> PerIpLimit {
        PerIpLimit(Arc::new(Shared {
            limit,
            proxies,
            counts: self.0.counts.clone(),
        }))
    }

    /// Counts an accepted connection for as long as the stay lives.
    ///
    /// # Errors
    /// When the address has as many as it may have.
    pub fn enter(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit> {
        let peer = peer.to_canonical();
        match self.0.proxies.contain(peer) {
            true => Ok(IpPermit::uncounted()),
            false => self.count(peer),
        }
    }

    /// Counts a subscriber behind a trusted proxy; one that came by itself counts already.
    ///
    /// # Errors
    /// When the client's address has as many as it may have.
    pub fn subscribe(&self, peer: IpAddr, head: &Head) -> Result<IpPermit, OverIpLimit> {
        let is_trusted = |address| self.0.proxies.contain(address);
        if !is_trusted(peer.to_canonical()) {
            return Ok(IpPermit::uncounted());
        }
        match forwarded::client(head, is_trusted) {
            Some(client) if !is_trusted(client) => self.count(client),
            Some(_) | None => Ok(IpPermit::uncounted()), // the proxy itself, or one that does not say
        }
    }

    fn count(&self, address: IpAddr) -> Result<IpPermit, OverIpLimit> {
        let limit = self.0.limit.unwrap_or(usize::MAX);
        let address = site(address);
        let mut counts = self.0.counts.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return Err(OverIpLimit { address, limit });
        }
        *count += 1;
        Ok(IpPermit(Some((self.0.counts.clone(), address))))
    }
}

/// What counts as one address.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - SITE_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// A connection's part in the count of its address.
#[derive(Debug)]
pub struct IpPermit(Option<(Counts, IpAddr)>);

impl IpPermit {
    fn uncounted() -> IpPermit {
        IpPermit(None)
    }

    /// Whether it counts at all.
    pub fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for IpPermit {
    fn drop(&mut self) {
        let Some((counts, address)) = &self.0 else {
            return;
        };
        let mut counts = counts.0.lock();
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn head(client: &str) -> Head {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n");
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn an_address_may_have_so_many_and_gets_them_back() {
        let addresses = PerIpLimit::new(Some(2), Networks::default());
        let stays = [
            addresses.enter(ip("1.2.3.4")),
            addresses.enter(ip("::ffff:1.2.3.4")),
        ];
        assert!(stays.iter().all(Result::is_ok));
        assert!(addresses.enter(ip("1.2.3.4")).is_err() && addresses.enter(ip("5.6.7.8")).is_ok());
        drop(stays);
        assert!(addresses.0.counts.0.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_site_count_as_one() {
        let addresses = PerIpLimit::new(Some(1), Networks::default());
        let _stay = addresses.enter(ip("2001:db8::1")).unwrap();
        assert!(addresses.enter(ip("2001:db8::ffff:2")).is_err());
        assert!(addresses.enter(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn behind_a_proxy_it_is_the_client_that_counts() {
        let addresses = PerIpLimit::new(Some(1), Networks::parse("10.0.0.0/8").unwrap());
        let proxy = ip("10.0.0.1");
        let _own = [
            addresses.enter(proxy).unwrap(),
            addresses.enter(proxy).unwrap(),
        ];
        let _stay = addresses.subscribe(proxy, &head("1.2.3.4")).unwrap();
        let refused = addresses
            .subscribe(proxy, &head("6.6.6.6, 1.2.3.4"))
            .unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("1.2.3.4 has 1 connections open")
        );
        assert!(addresses.subscribe(proxy, &head("5.6.7.8")).is_ok());
        // Who is not a proxy can't speak for others.
        assert!(addresses.subscribe(ip("9.9.9.9"), &head("1.2.3.4")).is_ok());
    }

    #[test]
    fn a_limit_that_is_set_later_counts_who_is_here() {
        let addresses = PerIpLimit::new(None, Networks::default());
        let mut stays: Vec<_> = (0..9)
            .map(|_| addresses.enter(ip("1.2.3.4")).unwrap())
            .collect();
        let limited = addresses.under(Some(9), Networks::default());
        assert!(limited.enter(ip("1.2.3.4")).is_err() && limited.enter(ip("5.6.7.8")).is_ok());
        stays.pop();
        assert!(limited.enter(ip("1.2.3.4")).is_ok());
        drop(stays);
        assert!(addresses.0.counts.0.lock().is_empty());
    }

    #[test]
    fn who_is_a_proxy_may_change() {
        let addresses = PerIpLimit::new(Some(1), Networks::default());
        let _stay = addresses.enter(ip("10.0.0.1")).unwrap();
        assert!(addresses.enter(ip("10.0.0.1")).is_err());
        let trusting = addresses.under(Some(1), Networks::parse("10.0.0.0/8").unwrap());
        assert!(trusting.enter(ip("10.0.0.1")).is_ok());
    }
}
