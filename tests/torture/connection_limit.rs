//! The connection limit: subscribers stay, further upgrades get a 503, and the reserved
//! connections keep serving requests.

use crate::support::http::Http;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::tools::proc_stats::{ProcStats, expect_idle, wait_shrunk};
use crate::tools::publisher::Publisher;

const LIMIT: usize = 50;

fn full_server() -> Server {
    Server::with(&[("BIFROST_MAX_CONNECTIONS", "50")])
}

#[test]
fn full_server_rejects_upgrades_and_serves_other_requests() {
    let server = full_server();
    let before = ProcStats::of(&server);
    let mut subscribers: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    for _ in 0..100 {
        let rejection = server.ask(HANDSHAKE);
        rejection.expect_error(503);
        let retry_after = rejection.header("retry-after").expect("Retry-After");
        assert!(
            retry_after.parse::<u32>().expect("seconds") > 0,
            "{retry_after}"
        );
    }
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    for _ in 0..20 {
        let message = publisher.next_message();
        publisher.post(LIMIT as u64);
        subscribers
            .iter_mut()
            .for_each(|raw| raw.expect_text(&message));
        server
            .get("/healthz")
            .expect_json(200, r#"{"status":"ok"}"#);
        server
            .get("/readyz")
            .expect_json(503, r#"{"status":"full"}"#);
    }
    assert_eq!(server.stats().connected, LIMIT as u64);
    drop((subscribers, publisher));
    server.wait_connected(0);
    wait_shrunk(&server, before);
    server.raw_subscriber(&["a"]).expect_nothing();
}

/// Opens so many connections, each with an incomplete request.
fn half_requests(server: &Server, count: usize) -> Vec<Http> {
    let begin = |_| {
        let mut http = server.http();
        http.send("GET /healthz HTTP/1.1\r\n");
        http
    };
    (0..count).map(begin).collect()
}

/// Asserts that broadcasts arrive, each after as many attempts as it takes.
#[track_caller]
fn expect_broadcasts(publisher: &mut Publisher<'_>, subscribers: &mut [RawSocket]) {
    for _ in 0..10 {
        let message = publisher.next_message();
        assert_eq!(publisher.post_with_retry(), subscribers.len() as u64);
        subscribers
            .iter_mut()
            .for_each(|raw| raw.expect_text(&message));
    }
}

#[test]
fn incomplete_requests_hold_the_reserved_connections_only_until_they_are_cut() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "50"),
        ("BIFROST_REQUEST_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "1s"),
    ]);
    let mut subscribers: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    // More than the reserved connections: the rest waits in the listener's backlog.
    let half_requests = half_requests(&server, 40);
    expect_idle(&server);
    expect_broadcasts(&mut publisher, &mut subscribers);
    drop(half_requests);
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
