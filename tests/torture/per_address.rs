//! One address opens most connections: the limit per address, and who is believed about addresses.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::support::eventually;
use crate::support::http::{Http, Response};
use crate::support::process::Launch;
use crate::support::raw::HANDSHAKE;
use crate::support::server::Server;

const LIMIT: usize = 3;

fn limited(settings: &[(&str, &str)]) -> Server {
    let launch = Launch::serve().env("BIFROST_MAX_CONNECTIONS_PER_IP", "3");
    settings
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
        .start()
}

/// A connection from another address of the loopback.
fn from(server: &Server, address: [u8; 4]) -> Http {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let here = SocketAddr::from((Ipv4Addr::from(address), 0));
    bind(&socket, &here).expect("bind to the loopback");
    connect(&socket, &server.address).expect("connect");
    Http::over(TcpStream::from(socket))
}

const ALICE: [u8; 4] = [127, 0, 0, 11];
const BOB: [u8; 4] = [127, 0, 0, 12];
const PROXY: [u8; 4] = [127, 0, 0, 13];

fn handshake(headers: &str) -> String {
    HANDSHAKE.replace("Host: x\r\n", &format!("Host: x\r\n{headers}"))
}

/// Asserts a refusal by the limit: what it is, and when to try again.
#[track_caller]
fn expect_refusal(response: &Response) {
    let sentence = response.expect_error(503);
    let names_it = sentence.contains('3') || sentence.contains("BIFROST_MAX_CONNECTIONS_PER_IP");
    assert!(names_it, "the limit is not named: {sentence}");
    assert!(response.header("retry-after").is_some(), "{response:?}");
}

/// The same for a peer that is over the limit itself: the refusal is final.
#[track_caller]
fn expect_refused(mut http: Http, response: Response) {
    expect_refusal(&response);
    assert!(response.lists("connection", "close"), "{response:?}");
    http.expect_closed();
}

/// An upgrade from an address with more headers, that succeeds.
#[track_caller]
fn subscribe(server: &Server, address: [u8; 4], headers: &str) -> Http {
    let mut http = from(server, address);
    let response = http.send(handshake(headers)).response();
    assert_eq!(response.status, 101, "{headers:?} {}", response.text());
    http
}

/// An upgrade from an address with more headers, that is refused.
#[track_caller]
fn expect_no_place(server: &Server, address: [u8; 4], headers: &str) {
    let mut http = from(server, address);
    let response = http.send(handshake(headers)).response();
    match address {
        // Its connection is not the client's, and may carry others.
        PROXY => expect_refusal(&response),
        _ => expect_refused(http, response),
    }
}

#[test]
fn one_address_gets_so_many_connections_and_no_more() {
    let server = limited(&[]);
    let mut inside: Vec<_> = (0..LIMIT).map(|_| subscribe(&server, ALICE, "")).collect();
    for _ in 0..3 {
        expect_no_place(&server, ALICE, "");
        let mut http = from(&server, ALICE);
        let response = http
            .send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .response();
        expect_refused(http, response);
    }
    // Others have their own, and the first has a place again when one goes.
    let mut bob = subscribe(&server, BOB, "");
    assert_eq!(server.stats().connected, LIMIT as u64 + 1);
    inside.pop();
    server.wait_connected(LIMIT as u64);
    let back = eventually("there is a place again", || {
        let mut http = from(&server, ALICE);
        (http.send(HANDSHAKE).response().status == 101).then_some(http)
    });
    expect_no_place(&server, ALICE, "");
    for mut http in inside.into_iter().chain([back]) {
        assert!(!http.is_closed_within(Duration::from_millis(50)));
    }
    assert!(!bob.is_closed_within(Duration::from_millis(50)));
}

#[test]
fn plain_connections_count_too() {
    let server = limited(&[]);
    let mut idle: Vec<_> = (0..LIMIT)
        .map(|_| {
            let mut http = from(&server, ALICE);
            assert_eq!(http.get("/healthz").status, 200);
            http
        })
        .collect();
    expect_no_place(&server, ALICE, "");
    for http in &mut idle {
        assert_eq!(http.get("/healthz").status, 200);
    }
}

#[test]
fn many_places_are_given_back() {
    let server = limited(&[]);
    for _ in 0..200 {
        eventually("there is a place", || {
            let mut http = from(&server, ALICE);
            let response = http.send(HANDSHAKE).response();
            (response.status == 101).then(|| http.reset())
        });
    }
    server.wait_connected(0);
}

#[test]
fn without_a_limit_one_address_may_have_all() {
    let server = Server::start();
    let inside: Vec<_> = (0..100).map(|_| subscribe(&server, ALICE, "")).collect();
    assert_eq!(server.stats().connected, inside.len() as u64);
}

#[test]
fn strangers_are_not_believed_about_their_address() {
    let server = limited(&[("BIFROST_TRUSTED_PROXIES", "127.0.0.13")]);
    let headers = |n: usize| format!("X-Forwarded-For: 203.0.113.{n}\r\n");
    let _inside: Vec<_> = (0..LIMIT)
        .map(|n| subscribe(&server, ALICE, &headers(n)))
        .collect();
    expect_no_place(&server, ALICE, &headers(9));
}

/// What a proxy says, and the same address said in other ways.
const SAYINGS: [(&str, [&str; 4]); 4] = [
    (
        "127.0.0.13",
        [
            "X-Forwarded-For: 203.0.113.7\r\n",
            "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n",
            "x-forwarded-for:  198.51.100.2 ,\t203.0.113.7\r\n",
            "X-Forwarded-For: 198.51.100.3\r\nX-Forwarded-For: 203.0.113.7\r\n",
        ],
    ),
    (
        "10.0.0.0/8, 127.0.0.0/24",
        [
            "X-Forwarded-For: 203.0.113.7\r\n",
            "X-Forwarded-For: 203.0.113.7, 10.1.2.3\r\n",
            "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.1.2.3, 127.0.0.200\r\n",
            "X-Forwarded-For: garbage, 203.0.113.7\r\n",
        ],
    ),
    (
        "127.0.0.13,fd00::/8",
        [
            "X-Forwarded-For: 2001:db8::7\r\n",
            "X-Forwarded-For: 2001:DB8:0:0::7, fd12::1\r\n",
            "Forwarded: for=\"[2001:db8::7]\"\r\n",
            "Forwarded: for=\"[2001:db8::7]:4711\";proto=https, for=\"[fd00::1]\"\r\n",
        ],
    ),
    (
        "127.0.0.13/32",
        [
            "Forwarded: for=203.0.113.7\r\n",
            "Forwarded: For=\"203.0.113.7:80\"; by=10.0.0.1\r\n",
            "Forwarded: for=198.51.100.1, for=203.0.113.7;host=x\r\n",
            "Forwarded: proto=http;for=203.0.113.7\r\n",
        ],
    ),
];

#[test]
fn trusted_proxies_are_believed() {
    for (trusted, ways) in SAYINGS {
        let server = limited(&[("BIFROST_TRUSTED_PROXIES", trusted)]);
        let inside: Vec<_> = ways[..LIMIT]
            .iter()
            .map(|way| subscribe(&server, PROXY, way))
            .collect();
        expect_no_place(&server, PROXY, ways[LIMIT]);
        // Who comes through the same proxy from elsewhere has a place.
        subscribe(&server, PROXY, "X-Forwarded-For: 203.0.113.8\r\n");
        drop(inside);
        server.wait_connected(0);
        eventually("there is a place again", || {
            let mut http = from(&server, PROXY);
            let response = http.send(handshake(ways[0])).response();
            (response.status == 101).then_some(())
        });
    }
}

#[test]
fn plain_requests_through_a_proxy_do_not_count() {
    let server = limited(&[("BIFROST_TRUSTED_PROXIES", "127.0.0.13")]);
    let forwarded = "X-Forwarded-For: 203.0.113.7\r\n";
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{forwarded}\r\n");
    let mut idle: Vec<_> = (0..10).map(|_| from(&server, PROXY)).collect();
    for http in &mut idle {
        assert_eq!(http.send(&request).response().status, 200);
    }
    let _inside: Vec<_> = (0..LIMIT)
        .map(|_| subscribe(&server, PROXY, forwarded))
        .collect();
    expect_no_place(&server, PROXY, forwarded);
    for http in &mut idle {
        assert_eq!(http.send(&request).response().status, 200);
    }
}

#[test]
fn proxies_that_can_not_be_read_stop_the_start() {
    for bad in ["10.0.0.0/33", "x", "::1/129", "10.0.0.0/8/8"] {
        let launch = Launch::serve().env("BIFROST_TRUSTED_PROXIES", bad);
        let refused = launch.run();
        refused.expect_refusal(2, &["BIFROST_TRUSTED_PROXIES"]);
    }
    for bad in ["-1", "x", "1.5"] {
        let launch = Launch::serve().env("BIFROST_MAX_CONNECTIONS_PER_IP", bad);
        launch
            .run()
            .expect_refusal(2, &["BIFROST_MAX_CONNECTIONS_PER_IP", bad]);
    }
}
