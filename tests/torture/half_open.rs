//! Half-open peers: the network goes away without a word, as it does under a phone in a tunnel.
//!
//! The server runs in a network of its own with two cables to ours; one of them is pulled.

use std::net::SocketAddr;
use std::process::{Command, Output};

use rustix::process::Signal;

use crate::support::process::Launch;
use crate::support::raw::RawSocket;
use crate::support::server::Server;
use crate::support::{eventually, token};
use crate::tools::vitals::{Vitals, wait_shrunk};

/// So many subscribers behind the cable that is pulled.
const LOST: usize = 50;

/// A network namespace with two cables; both go with it.
struct Network {
    name: String,
}

/// One cable: our end, its end, and their addresses in a range for testing (RFC 2544).
const CABLES: [(&str, &str, &str, &str); 2] = [
    ("bftort0", "bftort1", "198.18.97.1/30", "198.18.97.2/30"),
    ("bftort2", "bftort3", "198.18.97.5/30", "198.18.97.6/30"),
];
const STEADY: &str = "198.18.97.2";
const LOSABLE: &str = "198.18.97.6";

impl Network {
    fn new() -> Network {
        let name = format!("bifrost-torture-{}", std::process::id());
        ip(&format!("netns add {name}"));
        let network = Network { name };
        let name = &network.name;
        for (ours, its, our_address, its_address) in CABLES {
            ip(&format!(
                "link add {ours} type veth peer name {its} netns {name}"
            ));
            ip(&format!("address add {our_address} dev {ours}"));
            ip(&format!("link set {ours} up"));
            ip(&format!(
                "-netns {name} address add {its_address} dev {its}"
            ));
            ip(&format!("-netns {name} link set {its} up"));
        }
        network
    }

    /// Nothing goes through any more, in either direction, and nobody is told.
    fn pull_the_losable_cable(&self) {
        ip(&format!("link set {} down", CABLES[1].0));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cables would go with the namespace, but only some time later.
        for (ours, ..) in CABLES {
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

/// The server as it is seen through the other cable.
fn through_losable(server: &Server) -> SocketAddr {
    SocketAddr::new(LOSABLE.parse().expect("an address"), server.address.port())
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
    server.address.set_ip(STEADY.parse().expect("an address"));
    server
}

#[test]
fn peers_whose_network_is_gone_are_gone_after_two_ping_intervals() {
    let network = Network::new();
    let settings = [("BIFROST_PING_INTERVAL", "1s"), ("BIFROST_LOG", "debug")];
    let server = start_in(&network, &settings);
    let mut alice = server.subscriber(&["a"]);
    let before = Vitals::of(&server);
    let lost: Vec<_> = (0..LOST)
        .map(|_| {
            let mut raw = RawSocket::connect(through_losable(&server));
            raw.authenticate(&token::subscriber(&["a", "b"]));
            raw.expect_confirmed(&["a", "b"]);
            raw
        })
        .collect();
    assert_eq!(server.broadcast("a", r#"{"n":1}"#), 1 + LOST as u64);
    network.pull_the_losable_cable();
    // What goes to the lost waits for them, and delays nobody.
    server.broadcast("a", r#"{"n":2}"#);
    alice.expect(r#"{"n":1}"#);
    alice.expect(r#"{"n":2}"#);
    // Alice reads, and so answers the pings that keep her; the lost don't.
    eventually("the lost are gone", || {
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
    assert_eq!(silent.count(), LOST, "something else ended them: {log:#?}");
    drop(lost);
}

#[test]
fn peers_whose_network_is_gone_do_not_hold_the_end() {
    let network = Network::new();
    let settings = [
        ("BIFROST_DRAIN_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ];
    let mut server = start_in(&network, &settings);
    let mut alice = server.subscriber(&["a"]);
    let _lost = RawSocket::connect(through_losable(&server));
    network.pull_the_losable_cable();
    server.signal(Signal::TERM);
    alice.expect_close(1012, "Service restart");
    assert_eq!(server.wait().code(), Some(0));
}
