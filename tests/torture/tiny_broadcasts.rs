//! The budget of all send queues under tiny messages, which cost more than their bytes.

use crate::support::http::Http;
use crate::support::raise_file_limit;
use crate::support::server::{Server, deliveries};
use crate::support::token::sign;
use crate::tools::proc_stats::ProcStats;

/// A publisher that sends lists of messages, each message on its own.
struct ListPublisher {
    http: Http,
    authorization: String,
}

impl ListPublisher {
    fn new(server: &Server) -> ListPublisher {
        ListPublisher {
            http: server.http(),
            authorization: format!("Bearer {}", sign(r#"{"broadcast":["a"]}"#)),
        }
    }

    /// Sends a message so many times to channel `a`; returns the number of deliveries.
    #[track_caller]
    fn send(&mut self, message: &str, count: usize) -> u64 {
        let item = format!(r#"{{"channel":"a","message":{message}}}"#);
        let body = format!("[{}]", vec![item; count].join(","));
        let request = format!(
            "POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Authorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        deliveries(&self.http.send(request).response())
    }
}

fn stat(server: &Server, key: &str) -> u64 {
    let info = server.stats().info;
    info["stats"][key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {info}"))
}

#[test]
fn stalled_subscribers_under_tiny_broadcasts_stay_within_the_budget() {
    const STALLED: usize = 1_000;
    const BUDGET: usize = 16 * 1024; // in KiB
    /// Evictions that show that the budget is in force.
    const EVICTED: u64 = 20;
    raise_file_limit();
    let server = Server::with(&[
        ("BIFROST_QUEUE_TOTAL", "16MiB"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
        ("BIFROST_PING_INTERVAL", "10m"),
    ]);
    let stalled: Vec<_> = (0..STALLED)
        .map(|_| server.narrow_subscriber(&["a"]))
        .collect();
    let mut publisher = ListPublisher::new(&server);
    let before = ProcStats::of(&server);
    // Larger messages fill the kernel's buffers sooner.
    let large = format!(r#"{{"fill":"{}"}}"#, "x".repeat(1024));
    let mut sent = 0;
    while stat(&server, "queued_bytes") < STALLED as u64 {
        publisher.send(&large, 1);
        sent += 1;
        assert!(sent < 10_000, "the kernel takes everything");
    }
    let mut lists = 0;
    while stat(&server, "slow_subscribers_cut") < EVICTED {
        publisher.send("{}", 100);
        lists += 1;
        assert!(lists < 1_000, "the budget is never enforced");
    }
    let after = ProcStats::of(&server);
    let growth = after.peak - before.memory;
    println!("{sent} large messages, {lists} lists; grown by {growth} KiB");
    // A waiting frame is charged what it costs, or more. Queues that are evicted are freed by their
    // own threads, one after another, and each such thread has touched no stack before.
    assert!(
        growth <= BUDGET * 5 / 2,
        "{growth} KiB with a budget of {BUDGET} KiB: {before:?}, {after:?}"
    );
    drop(stalled);
    server.wait_connected(0);
}
