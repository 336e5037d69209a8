//! What a subscriber keeps in memory after large messages: its channels, and no buffer.

use std::thread;
use std::time::Duration;

use crate::support::raw::{RawSocket, TEXT, event, masked};
use crate::support::server::Server;
use crate::support::{eventually, raise_file_limit};
use crate::tools::proc_stats::{ProcStats, wait_asleep};

const COUNT: usize = 500;

/// First byte of a text frame that begins a message, of one that goes on with it, and of its last.
const TEXT_BEGINS: u8 = 0x01;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

/// Connects subscribers, lets each send something, and asserts what each keeps, in KiB.
#[track_caller]
fn expect_kept(max_each: usize, subscribe: impl Fn(&Server, usize) -> RawSocket, sent: &[Vec<u8>]) {
    raise_file_limit();
    let server = Server::with(&[
        ("BIFROST_PING_INTERVAL", "10m"),
        // The allocator gives back what is freed, so that what is measured is what the server holds.
        ("MALLOC_MMAP_THRESHOLD_", "16384"),
    ]);
    let before = ProcStats::of(&server);
    let mut subscribers: Vec<_> = (0..COUNT)
        .map(|number| subscribe(&server, number))
        .collect();
    // All of them are in the middle of their message at once.
    for part in sent {
        for subscriber in &mut subscribers {
            subscriber.http.send(part);
        }
        wait_asleep(&server);
    }
    for subscriber in &mut subscribers {
        subscriber.expect_nothing(); // what was sent before is handled
    }
    eventually("the worker threads of the handshakes have ended", || {
        thread::sleep(Duration::from_millis(50));
        (ProcStats::of(&server).threads <= before.threads + COUNT).then_some(())
    });
    wait_asleep(&server);
    let now = ProcStats::of(&server);
    let each = now.memory.saturating_sub(before.memory) as f64 / COUNT as f64;
    println!("{each:.1} KiB each");
    assert!(each <= max_each as f64, "{each:.1} KiB each");
}

/// An event that the server ignores, of about 60 KiB.
fn large_event() -> String {
    event("x", &"x".repeat(60 * 1024))
}

/// An idle subscriber takes 12 to 13 KiB. The rest is stack that was touched, and small allocations.
/// A buffer for the message alone would take 60.
const MAX_EACH: usize = 26;

/// The names take 25 KiB, and each channel of one subscriber 400 bytes more.
const MAX_EACH_WITH_CHANNELS: usize = 84;

fn plain(server: &Server, _: usize) -> RawSocket {
    server.raw_subscriber(&["a"])
}

#[test]
fn large_messages_leave_no_buffer_behind() {
    expect_kept(MAX_EACH, plain, &[masked(TEXT, large_event())]);
}

#[test]
fn large_messages_in_fragments_leave_no_buffer_behind() {
    let text = large_event();
    let (first, rest) = text.split_at(20 * 1024);
    let (second, last) = rest.split_at(20 * 1024);
    let fragments = [
        masked(TEXT_BEGINS, first),
        masked(CONTINUES, second),
        masked(ENDS, last),
    ];
    expect_kept(MAX_EACH, plain, &fragments);
}

#[test]
fn many_channels_cost_little_more_than_their_names() {
    const CHANNELS: usize = 128;
    const NAME: usize = 200;
    let subscribe = |server: &Server, number: usize| {
        let name = |channel| format!("{:x<NAME$}", format!("{number}:{channel}:"));
        let names: Vec<String> = (0..CHANNELS).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        server.raw_subscriber(&names)
    };
    expect_kept(MAX_EACH_WITH_CHANNELS, subscribe, &[]);
}
