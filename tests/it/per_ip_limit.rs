//! The limit of connections per client address, with and without a proxy in between.

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::support::token;

/// A handshake as a proxy would pass it on.
fn forwarded(header: &str) -> String {
    HANDSHAKE.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
}

fn subscribe(server: &Server, header: &str) -> Result<RawSocket, u16> {
    let mut http = server.http();
    match http.send(forwarded(header)).response().status {
        101 => Ok(RawSocket { http }),
        status => Err(status),
    }
}

#[test]
fn connections_of_one_address_are_limited() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS_PER_IP", "3")]);
    let mut open: Vec<Http> = (0..3).map(|_| server.http()).collect();
    open.iter_mut().for_each(|http| drop(http.get("/healthz")));
    for request in [HANDSHAKE, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut http = server.http();
        let refusal = http.send(request).response();
        let sentence = refusal.expect_error(503);
        assert!(
            sentence.contains("127.0.0.1") && sentence.contains('3'),
            "{sentence}"
        );
        assert!(refusal.header("retry-after").is_some());
        http.expect_closed();
    }
    open.pop();
    eventually("the address may connect again", || {
        let mut http = server.http();
        let asked = http.try_send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        (asked && http.try_response()?.status == 200).then_some(())
    });
    server.stderr.wait_for("connection refused", |line| {
        line.contains("connection refused reason=").then_some(())
    });
}

#[test]
fn clients_behind_a_proxy_count_by_their_own_addresses() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS_PER_IP", "2"),
        ("BIFROST_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1"),
    ]);
    let first = subscribe(&server, "X-Forwarded-For: 1.2.3.4");
    let second = subscribe(&server, "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.1.1.1");
    assert!(first.is_ok() && second.is_ok());
    let third = subscribe(&server, "Forwarded: for=1.2.3.4;proto=https");
    assert_eq!(third.err(), Some(503));
    assert!(subscribe(&server, "X-Forwarded-For: 1.2.3.5").is_ok());
    // The proxy's own connections are not limited.
    let mut open: Vec<Http> = (0..9).map(|_| server.http()).collect();
    for http in &mut open {
        assert_eq!(http.get("/healthz").status, 200);
    }
    drop(first);
    eventually("the address may connect again", || {
        subscribe(&server, "X-Forwarded-For: 1.2.3.4").ok()
    });
}

#[test]
fn clients_whose_address_a_proxy_hides_share_one_limit() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS_PER_IP", "2"),
        ("BIFROST_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let hidden = [
        subscribe(&server, "X-Forwarded-For: unknown"),
        subscribe(&server, "Forwarded: for=_hidden"),
    ];
    assert!(hidden.iter().all(Result::is_ok));
    let third = subscribe(&server, "X-Forwarded-For: 1.2.3.4, none-of-your-business");
    assert_eq!(third.err(), Some(503));
    // A zone and a port are no part of an address.
    let zones = [
        subscribe(&server, "X-Forwarded-For: fe80::1%eth0"),
        subscribe(&server, "X-Forwarded-For: [fe80::1%eth1]:4711"),
    ];
    assert!(zones.iter().all(Result::is_ok));
    let third = subscribe(&server, "X-Forwarded-For: fe80::1");
    assert_eq!(third.err(), Some(503));
    // A proxy that says nothing at all is not limited.
    let silent: Vec<_> = (0..4).map(|_| server.raw()).collect();
    drop((hidden, silent));
    eventually("a hidden client may connect again", || {
        subscribe(&server, "X-Forwarded-For: unknown").ok()
    });
}

#[test]
fn proxies_may_be_written_as_ipv4_in_ipv6() {
    for proxies in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104"] {
        let server = Server::with(&[
            ("BIFROST_MAX_CONNECTIONS_PER_IP", "1"),
            ("BIFROST_TRUSTED_PROXIES", proxies),
        ]);
        let _first = subscribe(&server, "X-Forwarded-For: 1.2.3.4").expect("within the limit");
        assert!(subscribe(&server, "X-Forwarded-For: 5.6.7.8").is_ok());
        assert_eq!(
            subscribe(&server, "X-Forwarded-For: 1.2.3.4").err(),
            Some(503)
        );
    }
}

#[test]
fn forwarded_address_of_an_untrusted_peer_is_ignored() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS_PER_IP", "1"),
        ("BIFROST_TRUSTED_PROXIES", "10.0.0.0/8"),
    ]);
    let _first = subscribe(&server, "X-Forwarded-For: 1.2.3.4").expect("within the limit");
    let second = subscribe(&server, "X-Forwarded-For: 5.6.7.8");
    assert_eq!(second.err(), Some(503));
}

#[test]
fn handshake_over_the_limit_of_its_address_evicts_no_connection() {
    let server = ServerWithMetrics::with(&[
        ("BIFROST_MAX_CONNECTIONS", "2"),
        ("BIFROST_MAX_CONNECTIONS_PER_IP", "1"),
        ("BIFROST_TRUSTED_PROXIES", "127.0.0.1"),
        ("BIFROST_REQUEST_TIMEOUT", "60s"),
    ]);
    let evicted = || server.scrape().value("bifrost_connections_evicted_total");
    let mut alice = subscribe(&server, "X-Forwarded-For: 1.1.1.1").expect("within the limit");
    alice.authenticate(&token::subscriber(&["a"]));
    alice.expect_confirmed(&["a"]);
    let mut idle = server.http();
    assert_eq!(idle.get("/healthz").status, 200);

    let refusal = server.ask(forwarded("X-Forwarded-For: 1.1.1.1"));
    let sentence = refusal.expect_error(503);
    assert!(sentence.contains("1.1.1.1"), "{sentence}");
    assert_eq!(evicted(), 0.0);
    assert_eq!(idle.get("/healthz").status, 200);

    // The server was full: a handshake from another address does evict the idle connection.
    let bob = subscribe(&server, "X-Forwarded-For: 2.2.2.2");
    assert!(bob.is_ok(), "{:?}", bob.err());
    assert_eq!(evicted(), 1.0);
    idle.expect_closed();
}
