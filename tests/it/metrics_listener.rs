//! The metrics listener: separate, limited to a few connections, and no risk for the main one.

use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use crate::support::http::Http;
use crate::support::process::Launch;
use crate::support::raw::{CLOSE, HANDSHAKE, RawSocket, close_payload};
use crate::support::server::{Server, deliveries, post};
use crate::support::server_with_metrics::{ANYWHERE, ServerWithMetrics, read};
use crate::support::{eventually, free_address, token};

/// Connections that the listener accepts at once.
const PLACES: usize = 8;
const REQUEST: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn metrics_are_off_unless_asked_for_and_never_on_the_main_port() {
    let server = Server::start();
    server.get("/metrics").expect_error(404);
    let lines = server.stderr.so_far();
    assert!(
        !lines.iter().any(|line| line.contains("metrics")),
        "{lines:?}"
    );
    ServerWithMetrics::start().get("/metrics").expect_error(404);
}

/// No page in a browser of this machine reads them by a name of its own (DNS rebinding).
#[test]
fn metrics_on_the_loopback_are_only_for_this_machine() {
    let ask = |address, host: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Http::connect(address).send(request).response()
    };
    let server = ServerWithMetrics::start();
    let port = server.metrics.port();
    let sentence = ask(server.metrics, "evil.example").expect_error(403);
    let cure = format!("open http://127.0.0.1:{port}");
    assert!(sentence.contains(&cure), "{sentence}");
    for host in ["localhost:9464", "127.0.0.1:9464", "[::1]"] {
        read(&ask(server.metrics, host));
    }
    let open = Launch::serve().env(ANYWHERE.0, "0.0.0.0:0").start();
    let mut open = ServerWithMetrics::over(open);
    open.metrics.set_ip([127, 0, 0, 1].into());
    read(&ask(open.metrics, "metrics.example"));
}

#[test]
fn metrics_listener_serves_nothing_but_metrics() {
    let server = ServerWithMetrics::start();
    let mut http = server.scraper();
    for path in [
        "/info.json",
        "/healthz",
        "/subscribe",
        "/broadcast",
        "/metrics/x",
    ] {
        http.get(path).expect_error(404);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!(
            "{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let answer = http.send(request).response();
        answer.expect_error(405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    let front = http.get("/");
    assert_eq!(front.status, 200);
    assert!(
        front.text().contains("href=\"/metrics\""),
        "{}",
        front.text()
    );
    let mut stranger = server.scraper();
    let handshake = HANDSHAKE.replace("Host: x", "Host: localhost");
    stranger.send(handshake).response().expect_error(404);
    read(&http.get("/metrics?x=1"));
    http.send("nonsense\r\n\r\n").response().expect_error(400);
    http.expect_closed();
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = ServerWithMetrics::start();
    let mut http = server.scraper();
    let head = http
        .send("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .head();
    assert_eq!(head.status, 200);
    let length = head.header("content-length").expect("a length");
    assert!(
        length.parse::<usize>().is_ok_and(|length| length > 1000),
        "{length}"
    );
    read(&http.get("/metrics"));
    let old = http.send("GET /metrics HTTP/1.0\r\n\r\n").response();
    read(&old);
    http.expect_closed();
}

#[test]
fn numbers_on_a_page_are_consistent_during_broadcasts() {
    const PUBLISHERS: u64 = 3;
    const MESSAGES: u64 = 150;
    let server = ServerWithMetrics::start();
    let _alice = server.subscriber(&["a"]);
    let publish = || {
        let mut http = server.http();
        let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", "{}"));
        let request = post("/broadcast", "application/json", body);
        for _ in 0..MESSAGES {
            http.send(&request);
            assert_eq!(deliveries(&http.response()), 1);
        }
    };
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS).map(|_| scope.spawn(publish)).collect();
        let mut scraper = server.scraper();
        let mut before = server.scrape();
        while !publishers.iter().all(|publisher| publisher.is_finished()) {
            let now = read(&scraper.get("/metrics"));
            now.expect_grown_since(&before);
            let sent = now.labelled("bifrost_broadcasts_total", "result", "sent");
            let timed = now.value("bifrost_broadcast_duration_seconds_count");
            // Broadcasts go on while a page is written: a later number may be ahead of an earlier.
            assert!(sent <= (PUBLISHERS * MESSAGES) as f64 && timed >= sent - PUBLISHERS as f64);
            before = now;
        }
    });
    let all = (PUBLISHERS * MESSAGES) as f64;
    let scrape = server.scrape();
    assert_eq!(
        scrape.labelled("bifrost_broadcasts_total", "result", "sent"),
        all
    );
    assert_eq!(
        scrape.value("bifrost_broadcast_duration_seconds_count"),
        all
    );
    assert_eq!(scrape.value("bifrost_deliveries_total"), all);
    assert_eq!(scrape.value("bifrost_delivered_bytes_total"), 4.0 * all);
}

#[test]
fn two_scrapers_at_once_are_both_answered() {
    let server = ServerWithMetrics::start();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut http = server.scraper();
                for _ in 0..30 {
                    read(&http.get("/metrics"));
                }
            });
        }
    });
}

#[test]
fn scrapers_that_never_read_do_not_block_others() {
    let server = ServerWithMetrics::with(&[("BIFROST_WRITE_TIMEOUT", "400ms")]);
    let mut alice = server.subscriber(&["a"]);
    let requests = REQUEST.repeat(400); // over 3 MB of responses
    let unread: Vec<_> = (0..2 * PLACES)
        .map(|_| {
            let mut http = Http::over(RawSocket::narrow_stream(server.metrics));
            http.try_send(&requests);
            http
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(server.broadcast("a", "{}"), 1);
        alice.expect("{}");
    }
    eventually("a scrape is answered", || {
        let mut http = server.scraper();
        let response = http
            .try_send(REQUEST)
            .then(|| http.try_response())
            .flatten();
        response.map(|response| read(&response))
    });
    drop(unread);
    server.get("/readyz").expect_json(200, r#"{"status":"ok"}"#);
}

#[test]
fn flood_of_idle_scrapers_does_not_block_others() {
    let server = ServerWithMetrics::start();
    let mut alice = server.subscriber(&["a"]);
    let flood: Vec<_> = (0..100).map(|_| server.scraper()).collect();
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
    // A new connection may be evicted for the next one before it has sent its request.
    let scrape = eventually("a scrape is answered", || {
        let mut http = server.scraper();
        let response = http
            .try_send(REQUEST)
            .then(|| http.try_response())
            .flatten();
        response.map(|response| read(&response))
    });
    assert_eq!(scrape.value("bifrost_websockets"), 1.0);
    assert_eq!(scrape.value("bifrost_connections_evicted_total"), 0.0);
    drop(flood);
    server.scrape();
}

#[test]
fn metrics_are_served_until_draining_ends() {
    let mut server = ServerWithMetrics::with(&[
        ("BIFROST_DRAIN_TIMEOUT", "60s"),
        ("BIFROST_WRITE_TIMEOUT", "60s"),
    ]);
    let mut keeper = server.raw_subscriber(&["a"]);
    let mut scraper = server.scraper();
    read(&scraper.get("/metrics"));
    server.signal(Signal::TERM);
    keeper.expect_close(1012);
    server.wait_refusing();
    for scrape in [read(&scraper.get("/metrics")), server.scrape()] {
        assert_eq!(scrape.value("bifrost_draining"), 1.0);
        assert_eq!(scrape.value("bifrost_websockets"), 1.0);
        assert!(scrape.counted("bifrost_websockets_closed_total").is_empty());
    }
    keeper.send(CLOSE, close_payload(1012, "")).expect_end();
    assert_eq!(server.server.wait().code(), Some(0));
    scraper.expect_closed();
}

#[test]
fn inherited_main_socket_works_with_a_metrics_listener() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    let (name, value) = ANYWHERE;
    let launch = Launch::serve().env(name, value).hand_over(socket);
    let server = ServerWithMetrics::over(launch.start());
    assert_eq!(server.broadcast("a", "{}"), 0);
    let scrape = server.scrape();
    assert_eq!(scrape.counted("bifrost_broadcasts_total")["sent"], 1);
    server.get("/metrics").expect_error(404);
}

#[test]
fn metrics_may_use_the_port_that_an_inherited_socket_replaces() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    let metrics = free_address();
    let launch = Launch::serve().env("PORT", metrics.port().to_string());
    let launch = launch.env(ANYWHERE.0, metrics.to_string());
    ServerWithMetrics::over(launch.hand_over(socket).start()).scrape();
}

#[test]
fn address_may_be_ipv6_and_comes_from_a_flag_too() {
    let launch = Launch::serve().args(&["--metrics-addr", "127.0.0.1:0"]);
    ServerWithMetrics::over(launch.start()).scrape();
    if let Err(error) = TcpListener::bind("[::1]:0") {
        eprintln!("this machine has no IPv6, so that half is not tested: {error}");
        return;
    }
    let launch = Launch::serve().env(ANYWHERE.0, "[::1]:0");
    let server = ServerWithMetrics::over(launch.start());
    assert!(server.metrics.is_ipv6());
    server.scrape();
}

#[test]
fn invalid_address_stops_the_start() {
    let cure = "use an address and a port, such as 127.0.0.1:9464 or [::1]:9464";
    for value in [
        "9464",
        "127.0.0.1",
        "localhost:9464",
        "::1:9464:",
        "127.0.0.1:65536",
        "*:9464",
    ] {
        let sentence = format!("BIFROST_METRICS_ADDR is {value:?}; {cure}");
        let launch = || Launch::serve().env(ANYWHERE.0, value);
        launch().run().expect_refusal(2, &[&sentence]);
        launch()
            .args(&["check"])
            .run()
            .expect_refusal(2, &[&sentence]);
    }
    let outcome = Launch::serve().args(&["--metrics-addr", "x"]).run();
    outcome.expect_refusal(2, &["--metrics-addr is \"x\""]);
}

#[test]
fn address_that_cannot_be_bound_stops_the_start() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    let taken = holder.local_addr().expect("it has an address").to_string();
    let sentence = format!("can't listen on BIFROST_METRICS_ADDR {taken}");
    let outcome = Launch::serve().env(ANYWHERE.0, &taken).run();
    outcome.expect_refusal(1, &[&sentence, "in use"]);
    drop(holder);
    // An address that no machine has (RFC 5737): `check` finds that too.
    let foreign = || Launch::serve().env(ANYWHERE.0, "192.0.2.7:9464");
    let sentence = "can't listen on BIFROST_METRICS_ADDR 192.0.2.7:9464";
    foreign().run().expect_refusal(1, &[sentence]);
    foreign()
        .args(&["check"])
        .run()
        .expect_refusal(1, &[sentence]);
}

#[test]
fn address_of_the_server_itself_stops_the_start() {
    for (host, metrics) in [
        ("127.0.0.1", "127.0.0.1:4321"),
        ("0.0.0.0", "127.0.0.1:4321"),
        ("127.0.0.1", "0.0.0.0:4321"),
        ("::", "127.0.0.1:4321"),
        ("[::1]", "[::1]:4321"),
    ] {
        let sentence = format!(
            "BIFROST_METRICS_ADDR is {metrics}, where HOST {host:?} with --port 4321 listens"
        );
        for command in ["serve", "check"] {
            let launch = Launch::serve().env("HOST", host).env(ANYWHERE.0, metrics);
            let outcome = launch.args(&[command, "--port", "4321"]).run();
            outcome.expect_refusal(2, &[&sentence, "use another port"]);
            assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        }
    }
}

#[test]
fn settings_are_not_said_to_meet_where_others_are_wrong() {
    let launch = Launch::serve()
        .env("PORT", "4321")
        .env(ANYWHERE.0, "127.0.0.1:3000");
    let outcome = launch.env("BIFROST_QUEUE", "lots").args(&["check"]).run();
    outcome.expect_refusal(2, &["BIFROST_QUEUE"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn check_says_where_metrics_are() {
    let check = || Launch::serve().args(&["check"]);
    for (launch, value) in [
        (check(), "off"),
        (check().env(ANYWHERE.0, "127.0.0.1:9464"), "127.0.0.1:9464"),
    ] {
        let outcome = launch.run();
        let mut rows = outcome.stdout.lines();
        let row = rows.find(|row| row.starts_with(ANYWHERE.0));
        let row = row.unwrap_or_else(|| panic!("{outcome:?}"));
        assert_eq!(row.split_whitespace().nth(1), Some(value), "{row}");
    }
}
