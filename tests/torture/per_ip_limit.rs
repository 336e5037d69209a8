//! The limit of connections per client address, and whose forwarding headers decide the address.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::support::http::{Http, Response};
use crate::support::process::Launch;
use crate::support::raw::HANDSHAKE;
use crate::support::server::{Server, deliveries, post};
use crate::support::{eventually, raise_file_limit, token};
use crate::tools::proc_stats::ProcStats;

const LIMIT: usize = 3;

fn limited(settings: &[(&str, &str)]) -> Server {
    let launch = Launch::serve().env("BIFROST_MAX_CONNECTIONS_PER_IP", "3");
    settings
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
        .start()
}

/// A connection from this loopback address.
fn connect_from(server: &Server, address: [u8; 4]) -> Http {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let local = SocketAddr::from((Ipv4Addr::from(address), 0));
    bind(&socket, &local).expect("bind to the loopback");
    connect(&socket, &server.address).expect("connect");
    Http::over(TcpStream::from(socket))
}

const ALICE: [u8; 4] = [127, 0, 0, 11];
const BOB: [u8; 4] = [127, 0, 0, 12];
const PROXY: [u8; 4] = [127, 0, 0, 13];

fn handshake(headers: &str) -> String {
    HANDSHAKE.replace("Host: x\r\n", &format!("Host: x\r\n{headers}"))
}

/// Asserts a rejection by the limit, which names it and says when to retry.
#[track_caller]
fn expect_limit_error(response: &Response) {
    let message = response.expect_error(503);
    let names_limit = message.contains('3') || message.contains("BIFROST_MAX_CONNECTIONS_PER_IP");
    assert!(names_limit, "the limit is not named: {message}");
    assert!(response.header("retry-after").is_some(), "{response:?}");
}

/// Asserts a rejection by the limit, after which the connection is closed.
#[track_caller]
fn expect_limit_error_and_close(mut http: Http, response: Response) {
    expect_limit_error(&response);
    assert!(response.lists("connection", "close"), "{response:?}");
    http.expect_closed();
}

/// Upgrades a connection from this address, with more headers.
#[track_caller]
fn subscribe(server: &Server, address: [u8; 4], headers: &str) -> Http {
    let mut http = connect_from(server, address);
    let response = http.send(handshake(headers)).response();
    assert_eq!(response.status, 101, "{headers:?} {}", response.text());
    http
}

/// Asserts that an upgrade from this address, with more headers, is rejected.
#[track_caller]
fn expect_rejected(server: &Server, address: [u8; 4], headers: &str) {
    let mut http = connect_from(server, address);
    let response = http.send(handshake(headers)).response();
    if address == PROXY {
        // A proxy's connection stays open: it may carry other clients' requests.
        expect_limit_error(&response);
    } else {
        expect_limit_error_and_close(http, response);
    }
}

#[test]
fn one_address_gets_no_more_connections_than_the_limit() {
    let server = limited(&[]);
    let mut subscribers: Vec<_> = (0..LIMIT).map(|_| subscribe(&server, ALICE, "")).collect();
    for _ in 0..3 {
        expect_rejected(&server, ALICE, "");
        let mut http = connect_from(&server, ALICE);
        let response = http
            .send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .response();
        expect_limit_error_and_close(http, response);
    }
    // Another address has a limit of its own; a closed connection can be replaced.
    let mut bob = subscribe(&server, BOB, "");
    assert_eq!(server.stats().connected, LIMIT as u64 + 1);
    subscribers.pop();
    server.wait_connected(LIMIT as u64);
    let replacement = eventually("a permit is free again", || {
        let mut http = connect_from(&server, ALICE);
        (http.send(HANDSHAKE).response().status == 101).then_some(http)
    });
    expect_rejected(&server, ALICE, "");
    for mut http in subscribers.into_iter().chain([replacement]) {
        assert!(!http.is_closed_within(Duration::from_millis(50)));
    }
    assert!(!bob.is_closed_within(Duration::from_millis(50)));
}

#[test]
fn http_connections_count_too() {
    let server = limited(&[]);
    let mut idle: Vec<_> = (0..LIMIT)
        .map(|_| {
            let mut http = connect_from(&server, ALICE);
            assert_eq!(http.get("/healthz").status, 200);
            http
        })
        .collect();
    expect_rejected(&server, ALICE, "");
    for http in &mut idle {
        assert_eq!(http.get("/healthz").status, 200);
    }
}

#[test]
fn refused_connections_take_no_threads_and_cut_no_broadcast_of_another_address() {
    raise_file_limit();
    let server = Launch::serve()
        .env("BIFROST_MAX_CONNECTIONS_PER_IP", "10")
        .env("BIFROST_IDLE_TIMEOUT", "10m")
        .env("BIFROST_REQUEST_TIMEOUT", "10m")
        .descriptors(256)
        .start();
    let before = ProcStats::of(&server);
    let mut publisher = connect_from(&server, BOB);
    let broadcast = || {
        let token = token::publisher("a", "{}");
        let body = format!(r#"{{"token":"{token}"}}"#);
        post("/broadcast", "application/json", body)
    };
    let mut crowd = Vec::new();
    for _ in 0..45 {
        crowd.extend((0..20).map(|_| connect_from(&server, ALICE)));
        assert_eq!(deliveries(&publisher.send(broadcast()).response()), 0);
        let mut fresh = connect_from(&server, BOB);
        assert_eq!(deliveries(&fresh.send(broadcast()).response()), 0);
        let threads = ProcStats::of(&server).threads;
        assert!(
            threads <= before.threads + 30,
            "{before:?}, {threads} threads"
        );
    }
    // Each of them got the answer, but for those within the limit.
    let mut answered = 0;
    for http in &mut crowd {
        if http.has_more_within(Duration::from_millis(100)) {
            expect_limit_error(&http.response());
            http.expect_closed();
            answered += 1;
        }
    }
    assert_eq!(answered, crowd.len() - 10);
}

#[test]
fn refused_connection_evicts_nobody_from_a_full_server() {
    let server = Launch::serve()
        .env("BIFROST_MAX_CONNECTIONS_PER_IP", "9")
        .env("BIFROST_MAX_CONNECTIONS", "2")
        .start();
    // Two and the sixteen reserved ones.
    let addresses = [ALICE; 9].into_iter().chain([BOB; 9]);
    let mut all: Vec<_> = addresses
        .map(|address| {
            let mut http = connect_from(&server, address);
            assert_eq!(http.get("/healthz").status, 200);
            http
        })
        .collect();
    expect_rejected(&server, BOB, "");
    for http in &mut all {
        assert_eq!(http.get("/healthz").status, 200);
    }
    // One that is within the limit does evict one, as there are no more places.
    let mut carol = connect_from(&server, PROXY);
    assert_eq!(carol.get("/healthz").status, 200);
    all[0].expect_closed();
}

#[test]
fn permits_of_closed_connections_are_released() {
    let server = limited(&[]);
    for _ in 0..200 {
        eventually("a permit is free", || {
            let mut http = connect_from(&server, ALICE);
            let response = http.send(HANDSHAKE).response();
            (response.status == 101).then(|| http.reset())
        });
    }
    server.wait_connected(0);
}

#[test]
fn one_address_may_use_all_connections_without_a_limit() {
    let server = Server::start();
    let subscribers: Vec<_> = (0..100).map(|_| subscribe(&server, ALICE, "")).collect();
    assert_eq!(server.stats().connected, subscribers.len() as u64);
}

#[test]
fn untrusted_peers_can_not_forward_another_address() {
    let server = limited(&[("BIFROST_TRUSTED_PROXIES", "127.0.0.13")]);
    let headers = |n: usize| format!("X-Forwarded-For: 203.0.113.{n}\r\n");
    let _subscribers: Vec<_> = (0..LIMIT)
        .map(|n| subscribe(&server, ALICE, &headers(n)))
        .collect();
    expect_rejected(&server, ALICE, &headers(9));
}

/// Values of `BIFROST_TRUSTED_PROXIES`, each with headers that forward the same address.
const FORWARDED: [(&str, [&str; 4]); 4] = [
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
fn trusted_proxies_forward_the_client_address() {
    for (trusted, headers) in FORWARDED {
        let server = limited(&[("BIFROST_TRUSTED_PROXIES", trusted)]);
        let subscribers: Vec<_> = headers[..LIMIT]
            .iter()
            .map(|header| subscribe(&server, PROXY, header))
            .collect();
        expect_rejected(&server, PROXY, headers[LIMIT]);
        // Another client behind the same proxy has a limit of its own.
        subscribe(&server, PROXY, "X-Forwarded-For: 203.0.113.8\r\n");
        drop(subscribers);
        server.wait_connected(0);
        eventually("a permit is free again", || {
            let mut http = connect_from(&server, PROXY);
            let response = http.send(handshake(headers[0])).response();
            (response.status == 101).then_some(())
        });
    }
}

#[test]
fn requests_through_a_proxy_do_not_count() {
    let server = limited(&[("BIFROST_TRUSTED_PROXIES", "127.0.0.13")]);
    let forwarded = "X-Forwarded-For: 203.0.113.7\r\n";
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{forwarded}\r\n");
    let mut idle: Vec<_> = (0..10).map(|_| connect_from(&server, PROXY)).collect();
    for http in &mut idle {
        assert_eq!(http.send(&request).response().status, 200);
    }
    let _subscribers: Vec<_> = (0..LIMIT)
        .map(|_| subscribe(&server, PROXY, forwarded))
        .collect();
    expect_rejected(&server, PROXY, forwarded);
    for http in &mut idle {
        assert_eq!(http.send(&request).response().status, 200);
    }
}

#[test]
fn invalid_proxies_and_limits_prevent_the_start() {
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
