//! Bodies that never arrive whole: more of them than the memory can hold disturb no other client,
//! and take no more than the budget of everything that arrives.

use std::thread;

use crate::support::http::Http;
use crate::support::raise_file_limit;
use crate::support::server::deliveries;
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::tools::proc_stats::ProcStats;
use crate::tools::publisher::Publisher;

/// Connections that send all of a body but its last byte.
const COUNT: usize = 1_300;
const BODY: usize = 1024 * 1024;
/// Threads that send them.
const SENDERS: usize = 8;
/// What they may take together, in KiB; without a limit, they take 1.3 GiB.
const BUDGET: usize = 128 * 1024;
/// What else a connection takes, in KiB: its thread, its buffer for one read, what the allocator
/// keeps of freed memory.
const EACH: usize = 64;

/// Sends so many bodies but for their last bytes. Some are refused while they are sent.
fn send_half_bodies(server: &ServerWithMetrics, count: usize) -> Vec<Http> {
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n\r\n");
    let bytes = [head.into_bytes(), vec![b' '; BODY - 1]].concat();
    let send = |_| {
        let mut http = server.http();
        http.try_send(&bytes);
        http
    };
    (0..count).map(send).collect()
}

#[test]
fn bodies_that_never_end_take_no_more_than_their_budget() {
    raise_file_limit();
    let server = ServerWithMetrics::with(&[
        ("BIFROST_INPUT_TOTAL", &format!("{BUDGET}KiB")),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let before = ProcStats::of(&server);
    let mut alice = server.raw_subscriber(&["a"]);
    let mut publisher = Publisher::new(&server, 0, "a", 1000);
    let bodies: Vec<Http> = thread::scope(|scope| {
        let send = |_| scope.spawn(|| send_half_bodies(&server, COUNT / SENDERS));
        let senders: Vec<_> = (0..SENDERS).map(send).collect();
        while senders.iter().any(|sender| !sender.is_finished()) {
            let message = publisher.next_message();
            publisher.post(1);
            alice.expect_text(&message);
            assert_eq!(server.get("/healthz").status, 200);
        }
        let join = |sender: thread::ScopedJoinHandle<'_, Vec<Http>>| sender.join().expect("sent");
        senders.into_iter().flat_map(join).collect()
    });
    let after = ProcStats::of(&server);
    let most = before.memory + BUDGET + COUNT * EACH;
    assert!(after.peak < most, "{before:?}, {after:?}, at most {most}");
    let scrape = server.scrape();
    let (bytes, limit) = ("bifrost_input_bytes", "bifrost_input_limit_bytes");
    assert!(scrape.value(bytes) <= scrape.value(limit));
    let refused = scrape.labelled(
        "bifrost_connections_rejected_total",
        "reason",
        "input_total",
    );
    let held = COUNT as f64 - refused;
    println!("{held} bodies are held, peak {} KiB", after.peak);
    assert!(held >= (BUDGET / 2 / 1024) as f64, "only {held} were held");
    drop(bodies);
    server.scrape_until("everything is given back", |scrape| {
        scrape.value("bifrost_input_bytes") == 0.0
    });
    let large = server.post_broadcast("a", &format!(r#"{{"x":"{}"}}"#, "x".repeat(BODY / 2)));
    assert_eq!(deliveries(&large), 1);
}
