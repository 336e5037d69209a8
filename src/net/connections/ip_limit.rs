//! The limit of connections per IP address.
//!
//! A direct peer counts from the accept on. A client behind a trusted proxy counts when it
//! subscribes, by the address that the proxy gives: before that, and for plain HTTP, the connection
//! is the proxy's. Those whose address it hides count as one client.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::net::networks::Networks;

/// Leading bits of an IPv6 address that identify one site (RFC 6177). All addresses of a site count
/// as one.
const SITE_BITS: u32 = 64;

/// The limit, and a handle on the counts; clones share both.
#[derive(Debug, Clone)]
pub struct PerIpLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most connections of one address, if limited.
    limit: Option<usize>,
    trusted_proxies: Networks,
    counts: Counts,
}

/// The connections of each address. Counted without a limit too: a reload may set one.
#[derive(Debug, Clone, Default)]
struct Counts(
    /// Guards the map. Nothing under it waits.
    Arc<Mutex<HashMap<IpAddr, usize>>>,
);

/// An address has reached its limit of connections.
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

impl std::error::Error for OverIpLimit {}

impl PerIpLimit {
    /// A limit for every address but those of trusted proxies, without connections yet.
    pub fn new(limit: Option<usize>, trusted_proxies: Networks) -> PerIpLimit {
        PerIpLimit(Arc::new(Shared {
            limit,
            trusted_proxies,
            counts: Counts::default(),
        }))
    }

    /// The same counts under another limit. Open connections stay, and count as before.
    #[must_use]
    pub fn with_rules(&self, limit: Option<usize>, trusted_proxies: Networks) -> PerIpLimit {
        PerIpLimit(Arc::new(Shared {
            limit,
            trusted_proxies,
            counts: self.0.counts.clone(),
        }))
    }

    /// Whether an address is that of a trusted proxy.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.trusted_proxies.contain(address.to_canonical())
    }

    /// Counts an accepted connection of a peer for as long as the permit lives, unless the peer is
    /// a trusted proxy.
    ///
    /// # Errors
    /// When the address has reached its limit.
    pub fn acquire(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit> {
        let peer = peer.to_canonical();
        if self.is_trusted(peer) {
            return Ok(IpPermit::uncounted());
        }
        self.count(peer)
    }

    /// Counts a client whose address a trusted proxy does not give, as one of the proxy's own: all of
    /// them share one limit, so that nobody evades it by hiding.
    ///
    /// # Errors
    /// When so many are connected already.
    pub fn acquire_hidden(&self, proxy: IpAddr) -> Result<IpPermit, OverIpLimit> {
        self.count(proxy.to_canonical())
    }

    fn count(&self, peer: IpAddr) -> Result<IpPermit, OverIpLimit> {
        let limit = self.0.limit.unwrap_or(usize::MAX);
        let address = site(peer);
        let mut counts = self.0.counts.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return Err(OverIpLimit { address, limit });
        }
        *count += 1;
        Ok(IpPermit(Some((self.0.counts.clone(), address))))
    }
}

/// The address under which a peer is counted: of IPv6, the network of its site.
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
    /// The permit of a connection that counts for no address.
    pub fn uncounted() -> IpPermit {
        IpPermit(None)
    }

    /// Whether the connection counts for an address.
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

    #[test]
    fn an_address_has_a_limit_and_gives_permits_back() {
        let per_ip = PerIpLimit::new(Some(2), Networks::default());
        let permits = [
            per_ip.acquire(ip("1.2.3.4")),
            per_ip.acquire(ip("::ffff:1.2.3.4")),
        ];
        assert!(permits.iter().all(Result::is_ok));
        let over_limit = per_ip.acquire(ip("1.2.3.4")).unwrap_err().to_string();
        assert!(over_limit.starts_with("1.2.3.4 has 2 connections open"));
        assert!(per_ip.acquire(ip("5.6.7.8")).is_ok());
        drop(permits);
        assert!(per_ip.0.counts.0.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_site_count_as_one() {
        let per_ip = PerIpLimit::new(Some(1), Networks::default());
        let _permit = per_ip.acquire(ip("2001:db8::1")).unwrap();
        assert!(per_ip.acquire(ip("2001:db8::ffff:2")).is_err());
        assert!(per_ip.acquire(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_trusted_proxy_has_no_limit() {
        let per_ip = PerIpLimit::new(Some(1), Networks::parse("10.0.0.0/8").unwrap());
        let proxy = ip("::ffff:10.0.0.1");
        let permits = [
            per_ip.acquire(proxy).unwrap(),
            per_ip.acquire(proxy).unwrap(),
        ];
        assert!(per_ip.is_trusted(proxy) && !permits[0].is_counted());
    }

    #[test]
    fn clients_that_a_proxy_hides_share_its_limit() {
        let per_ip = PerIpLimit::new(Some(1), Networks::parse("10.0.0.0/8").unwrap());
        let hidden = per_ip.acquire_hidden(ip("::ffff:10.0.0.1")).unwrap();
        assert!(hidden.is_counted() && per_ip.acquire_hidden(ip("10.0.0.1")).is_err());
        assert!(per_ip.acquire_hidden(ip("10.0.0.2")).is_ok());
        assert!(per_ip.acquire(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_limit_that_is_set_later_counts_open_connections() {
        let per_ip = PerIpLimit::new(None, Networks::default());
        let mut permits: Vec<_> = (0..9)
            .map(|_| per_ip.acquire(ip("1.2.3.4")).unwrap())
            .collect();
        let limited = per_ip.with_rules(Some(9), Networks::default());
        assert!(limited.acquire(ip("1.2.3.4")).is_err() && limited.acquire(ip("5.6.7.8")).is_ok());
        permits.pop();
        assert!(limited.acquire(ip("1.2.3.4")).is_ok());
        drop(permits);
        assert!(per_ip.0.counts.0.lock().is_empty());
    }

    #[test]
    fn trusted_proxies_may_change() {
        let per_ip = PerIpLimit::new(Some(1), Networks::default());
        let _permit = per_ip.acquire(ip("10.0.0.1")).unwrap();
        assert!(per_ip.acquire(ip("10.0.0.1")).is_err());
        let trusting = per_ip.with_rules(Some(1), Networks::parse("10.0.0.0/8").unwrap());
        assert!(trusting.acquire(ip("10.0.0.1")).is_ok());
    }
}
