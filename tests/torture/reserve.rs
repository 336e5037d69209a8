//! The reserve of a full server, against requests that begin and never end.

use crate::support::server::Server;
use crate::tools::publisher::Publisher;

const LIMIT: usize = 20;
/// Enough for the whole reserve, and as many more that wait with the kernel.
const SLOW: usize = 32;

#[test]
fn requests_that_never_end_do_not_shut_publishers_out() {
    let server = Server::with(&[
        ("BIFROST_MAX_CONNECTIONS", "20"),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
        ("BIFROST_WRITE_TIMEOUT", "10m"),
    ]);
    let mut inside: Vec<_> = (0..LIMIT).map(|_| server.raw_subscriber(&["a"])).collect();
    let _slow: Vec<_> = (0..SLOW)
        .map(|_| {
            let mut http = server.http();
            http.send("GET /healthz HTTP/1.1\r\n");
            http
        })
        .collect();
    let mut publisher = Publisher::new(&server, 0, "a", 100);
    for _ in 0..10 {
        let message = publisher.next_message();
        assert_eq!(publisher.post_stubbornly(), LIMIT as u64);
        inside.iter_mut().for_each(|raw| raw.expect_text(&message));
    }
    server
        .get("/healthz")
        .expect_json(200, r#"{"status":"ok"}"#);
}
