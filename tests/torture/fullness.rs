//! The connection limit: who is in stays, who is not is told, and the reserve keeps serving.

use crate::support::http::Http;
use crate::support::raw::{HANDSHAKE, RawSocket};
use crate::support::server::Server;
use crate::tools::publisher::Publisher;
use crate::tools::vitals::{Vitals, expect_idle, wait_shrunk};

const LIMIT: usize = 50;

fn full_server() -> Server {
    Server::with(&[("BIFROST_MAX_CONNECTIONS", "50")])
}

#[test]
fn full_server_refuses_upgrades_and_serves_all_else() {
    let server = full_server();
    let before = Vitals::of(&server);
    let mut inside: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    for _ in 0..100 {
        let refusal = server.ask(HANDSHAKE);
        refusal.expect_error(503);
        let patience = refusal.header("retry-after").expect("Retry-After");
        assert!(patience.parse::<u32>().expect("seconds") > 0, "{patience}");
    }
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    for _ in 0..20 {
        let message = publisher.next_message();
        publisher.post(LIMIT as u64);
        inside.iter_mut().for_each(|raw| raw.expect_text(&message));
        server
            .get("/healthz")
            .expect_json(200, r#"{"status":"ok"}"#);
        server
            .get("/readyz")
            .expect_json(503, r#"{"status":"full"}"#);
    }
    assert_eq!(server.stats().connected, LIMIT as u64);
    drop((inside, publisher));
    server.wait_connected(0);
    wait_shrunk(&server, before);
    server.raw_subscriber(&["a"]).expect_nothing();
}

/// So many connections, each with a request that has begun and never ends.
fn half_requests(server: &Server, count: usize) -> Vec<Http> {
    let begin = |_| {
        let mut http = server.http();
        http.send("GET /healthz HTTP/1.1\r\n");
        http
    };
    (0..count).map(begin).collect()
}

/// Broadcasts arrive, over as many connections as it takes.
#[track_caller]
fn expect_broadcasts(publisher: &mut Publisher<'_>, inside: &mut [RawSocket]) {
    for _ in 0..10 {
        let message = publisher.next_message();
        assert_eq!(publisher.post_stubbornly(), inside.len() as u64);
        inside.iter_mut().for_each(|raw| raw.expect_text(&message));
    }
}

#[test]
fn requests_that_never_end_hold_the_reserve_only_until_they_are_cut() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "50"),
        ("BIFROST_REQUEST_TIMEOUT", "2s"),
        ("BIFROST_WRITE_TIMEOUT", "1s"),
    ]);
    let mut inside: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    // They take the whole reserve, and more wait with the kernel.
    let half_requests = half_requests(&server, 40);
    expect_idle(&server);
    expect_broadcasts(&mut publisher, &mut inside);
    drop(half_requests);
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
