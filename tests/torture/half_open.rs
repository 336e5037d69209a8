//! Half-open connections: the network to a peer fails without a FIN or a RST, as it does for a
//! phone that loses its signal.
//!
//! The server runs in a network namespace with two links to ours; one of them is taken down.

use std::net::SocketAddr;
use std::process::{Command, Output};

use rustix::process::Signal;

use crate::support::process::Launch;
use crate::support::raw::RawSocket;
use crate::support::server::Server;
use crate::support::{eventually, token};
use crate::tools::proc_stats::{ProcStats, wait_shrunk};

/// Subscribers behind the link that is taken down.
const LOST: usize = 50;

/// A network namespace with two links, removed when dropped.
struct Network {
    name: String,
}

/// Of each link: our end, the server's end, and their addresses, in a range for benchmarks
/// (RFC 2544).
const LINKS: [(&str, &str, &str, &str); 2] = [
    ("bftort0", "bftort1", "198.18.97.1/30", "198.18.97.2/30"),
    ("bftort2", "bftort3", "198.18.97.5/30", "198.18.97.6/30"),
];
const STABLE: &str = "198.18.97.2";
const UNSTABLE: &str = "198.18.97.6";

impl Network {
    fn new() -> Network {
        let name = format!("bifrost-torture-{}", std::process::id());
        ip(&format!("netns add {name}"));
        let network = Network { name };
        let name = &network.name;
        for (ours, servers, our_address, server_address) in LINKS {
            ip(&format!(
                "link add {ours} type veth peer name {servers} netns {name}"
            ));
            ip(&format!("address add {our_address} dev {ours}"));
            ip(&format!("link set {ours} up"));
            ip(&format!(
                "-netns {name} address add {server_address} dev {servers}"
            ));
            ip(&format!("-netns {name} link set {servers} up"));
        }
        network
    }

    /// Takes the unstable link down: packets are lost in both directions, without an error.
    fn take_link_down(&self) {
        ip(&format!("link set {} down", LINKS[1].0));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The kernel removes the links with the namespace, but only some time later.
        for (ours, ..) in LINKS {
            try_ip(&format!("link delete {ours}"));
        }
        try_ip(&format!("netns delete {}", self.name));
    }
}

fn try_ip(arguments: &str) -> Output {
    Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("run ip")
}

fn ip(arguments: &str) {
    let outcome = try_ip(arguments);
    assert!(outcome.status.success(), "ip {arguments}: {outcome:?}");
}

/// The server's address on the unstable link.
fn unstable_address(server: &Server) -> SocketAddr {
    SocketAddr::new(UNSTABLE.parse().expect("an address"), server.address.port())
}

fn start_in(network: &Network, settings: &[(&str, &str)]) -> Server {
    let launch =
        Launch::serve()
            .env("HOST", "0.0.0.0")
            .under(&["ip", "netns", "exec", &network.name]);
    let mut server = settings
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
        .start();
    server.address.set_ip(STABLE.parse().expect("an address"));
    server
}

#[test]
fn half_open_subscribers_are_closed_after_two_ping_intervals() {
    let network = Network::new();
    let settings = [("BIFROST_PING_INTERVAL", "1s"), ("BIFROST_LOG", "debug")];
    let server = start_in(&network, &settings);
    let mut alice = server.subscriber(&["a"]);
    let before = ProcStats::of(&server);
    let lost: Vec<_> = (0..LOST)
        .map(|_| {
            let mut raw = RawSocket::connect(unstable_address(&server));
            raw.authenticate(&token::subscriber(&["a", "b"]));
            raw.expect_confirmed(&["a", "b"]);
            raw
        })
        .collect();
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 1 + LOST as u64);
    network.take_link_down();
    // The message to the lost peers stays queued, and delays no other subscriber.
    server.broadcast("a", r#"{"n":2}"#);
    alice.expect(r#"{"n":1}"#);
    alice.expect(r#"{"n":2}"#);
    // Alice answers the pings while she reads; the lost peers can't.
    eventually("the lost peers are closed", || {
        alice.expect_nothing();
        (server.stats().connected == 1).then_some(())
    });
    let stats = server.stats().info["stats"].clone();
    assert_eq!(stats["channels"], 1, "{stats}");
    assert_eq!(stats["subscriptions"], 1, "{stats}");
    assert_eq!(server.broadcast("a", r#"{"n":3}"#), 1);
    assert_eq!(server.broadcast("b", r#"{"n":3}"#), 0);
    alice.expect(r#"{"n":3}"#);
    wait_shrunk(&server, before);
    let log = server.stderr.so_far();
    let silent = log.iter().filter(|line| line.contains("ending=silent"));
    assert_eq!(silent.count(), LOST, "another reason closed them: {log:#?}");
    drop(lost);
}

#[test]
fn half_open_connections_do_not_delay_the_shutdown() {
    let network = Network::new();
    let settings = [
        ("BIFROST_DRAIN_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ];
    let mut server = start_in(&network, &settings);
    let mut alice = server.subscriber(&["a"]);
    let _lost = RawSocket::connect(unstable_address(&server));
    network.take_link_down();
    server.signal(Signal::TERM);
    alice.expect_close(1012, "Service restart");
    assert_eq!(server.wait().code(), Some(0));
}
