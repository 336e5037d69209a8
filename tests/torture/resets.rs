//! Thousands of subscribers vanish at once, while others come and broadcasts run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::raise_file_limit;
use crate::support::server::Server;
use crate::tools::crowd::Crowd;
use crate::tools::publisher::Publisher;
use crate::tools::vitals::{Vitals, wait_shrunk};

const VANISHING: usize = 5_000;
const STAYING: usize = 100;
const COMING: usize = 500;

#[test]
fn five_thousand_resets_at_once_leave_exact_counts_and_no_leak() {
    raise_file_limit();
    let server = Server::start();
    let mut staying = Crowd::gather(&server, STAYING, "a");
    let before = Vitals::of(&server);
    let vanishing = Crowd::gather(&server, VANISHING, "a");
    assert_eq!(server.stats().connected, (STAYING + VANISHING) as u64);

    let have_come = AtomicBool::new(false);
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    let (mut coming, published) = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            while !have_come.load(Ordering::Relaxed) {
                assert!(publisher.post_stubbornly() >= STAYING as u64);
            }
            publisher.answered
        });
        let reset = scope.spawn(move || vanishing.reset());
        let coming = Crowd::gather(&server, COMING, "b");
        reset.join().expect("the reset");
        server.wait_connected((STAYING + COMING) as u64);
        have_come.store(true, Ordering::Relaxed);
        (coming, publishing.join().expect("the publisher"))
    });

    // Nothing is missing for those who stayed, and the registry knows nobody else.
    staying.read_until("they have heard all", |member| member.heard[0] == published);
    expect_registry(&server, STAYING + COMING, 2);
    let mut to_all = Publisher::new(&server, 1, "a", 100);
    to_all.post(STAYING as u64);
    let mut to_newcomers = Publisher::new(&server, 0, "b", 100);
    to_newcomers.post(COMING as u64);
    coming.read_until("they have heard it", |member| member.heard[0] == 1);
    drop((coming, to_all, to_newcomers, publisher));
    server.wait_connected(STAYING as u64);
    wait_shrunk(&server, before);
    drop(staying);
    server.wait_connected(0);
    expect_registry(&server, 0, 0);
}

/// Asserts what is counted when everybody has one channel.
#[track_caller]
fn expect_registry(server: &Server, subscribers: usize, channels: usize) {
    let stats = &server.stats().info["stats"];
    assert_eq!(stats["connected"], subscribers, "{stats}");
    assert_eq!(stats["subscriptions"], subscribers, "{stats}");
    assert_eq!(stats["channels"], channels, "{stats}");
}
