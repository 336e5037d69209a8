//! The metrics listener under load: it disturbs no client of the main listener.

use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::process::Launch;
use crate::support::prometheus_text::Scrape;
use crate::support::server_with_metrics::{ANYWHERE, ServerWithMetrics, read};
use crate::support::{eventually, raise_file_limit};
use crate::tools::proc_stats::expect_idle;

const REQUEST: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Scrapes the metrics, as often as it takes for a response.
fn scrape_with_retry(server: &ServerWithMetrics) -> Scrape {
    eventually("a scrape is answered", || {
        let mut http = server.scraper();
        let response = http.try_send(REQUEST).then(|| http.try_response());
        response.flatten().map(|response| read(&response))
    })
}

#[test]
fn descriptor_exhaustion_causes_no_busy_loop_and_scrapes_recover() {
    raise_file_limit();
    let launch = Launch::serve()
        .env("BIFROST_REQUEST_TIMEOUT", "10m")
        .env(ANYWHERE.0, ANYWHERE.1);
    let server = ServerWithMetrics::over(launch.start());
    let mut alice = server.raw_subscriber(&["a"]);
    // Lowered after the start: the server's own limits always leave some descriptors.
    let most = Some(server.scrape().value("process_open_fds") as u64 + 4);
    let few = Rlimit {
        current: most,
        maximum: most,
    };
    let pid = Pid::from_raw(server.pid() as i32);
    prlimit(pid, Resource::Nofile, few).expect("lower the file limit of the server");
    let floods: Vec<TcpStream> = [server.metrics, server.address]
        .into_iter()
        .flat_map(|address| (0..50).map(move |_| address))
        .map(|address| TcpStream::connect(address).expect("connect"))
        .collect();
    server.stderr.wait_for("accept failed", |line| {
        line.contains("accept failed").then_some(())
    });
    expect_idle(&server);
    alice.expect_nothing();
    drop(floods);
    let scrape = scrape_with_retry(&server);
    assert!(scrape.value("bifrost_accept_failures_total") >= 1.0);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect_text("{}");
}

#[test]
fn flood_of_scrapes_does_not_disturb_the_main_listener() {
    raise_file_limit();
    let launch = Launch::serve().env(ANYWHERE.0, ANYWHERE.1);
    let server = ServerWithMetrics::over(launch.start());
    let mut alice = server.raw_subscriber(&["a"]);
    // More scrapers than the listener accepts, each with more requests than it reads responses.
    let requests = REQUEST.repeat(200);
    let flood: Vec<_> = (0..100)
        .map(|_| {
            let mut http = server.scraper();
            http.try_send(&requests);
            http
        })
        .collect();
    for number in 0..200 {
        let message = format!(r#"{{"n":{number}}}"#);
        assert_eq!(server.broadcast("a", &message), 1);
        alice.expect_text(&message);
    }
    drop(flood);
    let scrape = scrape_with_retry(&server);
    assert_eq!(scrape.value("bifrost_deliveries_total"), 200.0);
    assert_eq!(scrape.value("bifrost_websockets"), 1.0);
    expect_idle(&server);
}
