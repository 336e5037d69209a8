//! The reserved connections of a full server, against requests that never end.

use crate::support::server::Server;
use crate::tools::publisher::Publisher;

const LIMIT: usize = 20;
/// Twice as many as are reserved: the rest waits in the listener's backlog.
const INCOMPLETE: usize = 32;

#[test]
fn incomplete_requests_do_not_block_publishers() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "20"),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let mut subscribers: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    let _incomplete: Vec<_> = (0..INCOMPLETE)
        .map(|_| {
            let mut http = server.http();
            http.send("GET /healthz HTTP/1.1\r\n");
            http
        })
        .collect();
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    for _ in 0..10 {
        let message = publisher.next_message();
        assert_eq!(publisher.post_with_retry(), LIMIT as u64);
        subscribers
            .iter_mut()
            .for_each(|raw| raw.expect_text(&message));
    }
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
