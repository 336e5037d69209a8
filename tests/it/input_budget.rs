//! The budget of everything that arrives: large requests are refused first, small ones go on, and
//! what is refused or answered takes nothing any more.

use crate::support::http::{Http, Response};
use crate::support::process::Launch;
use crate::support::raw::HANDSHAKE;
use crate::support::reloadable_server::ReloadableServer;
use crate::support::server::{Server, deliveries, post};
use crate::support::server_with_metrics::{ANYWHERE, ServerWithMetrics};
use crate::support::{eventually, token};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn server_with(total: &str) -> ServerWithMetrics {
    ServerWithMetrics::with(&[
        ("BIFROST_INPUT_TOTAL", total),
        ("BIFROST_REQUEST_TIMEOUT", "10m"),
    ])
}

/// The head of a broadcast with so long a body, and as much of the body as `arrived` says.
fn half_body(length: usize, arrived: usize) -> Vec<u8> {
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b' '; arrived]].concat()
}

/// The head of a broadcast in chunks, and as much of a chunk of 1 MiB as `arrived` says.
fn half_chunk(arrived: usize) -> String {
    let head = "POST /broadcast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{MIB:x}\r\n{}", " ".repeat(arrived))
}

/// Connections on each of which so much of a body has arrived, and its end never comes.
fn held_bodies(server: &ServerWithMetrics, sizes: &[usize]) -> Vec<Http> {
    let mut total = 0.0;
    let begin = |size: &usize| {
        let mut http = server.http();
        http.send(half_chunk(*size));
        total += (size - 16 * KIB) as f64;
        let expected = total;
        server.scrape_until("the half body has arrived", |scrape| {
            scrape.value("bifrost_input_bytes") >= expected
        });
        http
    };
    sizes.iter().map(begin).collect()
}

/// A signed broadcast with a message of about `size` bytes.
fn broadcast(size: usize) -> Vec<u8> {
    let message = format!(r#"{{"x":"{}"}}"#, "x".repeat(size));
    let body = format!(r#"{{"token":"{}"}}"#, token::publisher("a", &message));
    post("/broadcast", "application/json", body)
}

#[track_caller]
fn expect_over_budget(refusal: &Response) {
    let sentence = refusal.expect_error(503);
    assert!(sentence.contains("BIFROST_INPUT_TOTAL"), "{sentence}");
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    assert!(refusal.lists("connection", "close"), "{refusal:?}");
}

#[track_caller]
fn expect_nothing_charged(server: &ServerWithMetrics) {
    server.scrape_until("everything is given back", |scrape| {
        scrape.value("bifrost_input_bytes") == 0.0
    });
}

#[test]
fn large_bodies_are_refused_while_small_ones_go_on() {
    let server = server_with("16MiB");
    let mut alice = server.subscriber(&["a"]);
    let half = held_bodies(&server, &[[MIB - 1; 11].as_slice(), &[500 * KIB]].concat());
    // One more would take over three quarters, and its length is not known before.
    let mut chunked = server.http();
    chunked.try_send(half_chunk(600 * KIB));
    expect_over_budget(&chunked.response());
    // A body that can't fit is refused by its head, before it is sent.
    let mut announced = server.http();
    announced.send(half_body(MIB, 0));
    expect_over_budget(&announced.response());
    let mut polite = server.http();
    let expects = "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n";
    polite.send(format!("POST /broadcast HTTP/1.1\r\nHost: x\r\n{expects}"));
    expect_over_budget(&polite.response());
    for size in [10, 3 * KIB, 30 * KIB] {
        assert_eq!(deliveries(&server.ask(broadcast(size))), 1, "{size}");
        alice.expect(&format!(r#"{{"x":"{}"}}"#, "x".repeat(size)));
    }
    assert_eq!(server.get("/healthz").status, 200);
    let scrape = server.scrape();
    let rejected = scrape.labelled(
        "bifrost_connections_rejected_total",
        "reason",
        "input_total",
    );
    assert_eq!(rejected, 3.0);
    assert_eq!(scrape.value("bifrost_input_limit_bytes"), 16.0 * MIB as f64);
    server.stderr.wait_for("the refusal", |line| {
        line.contains("request refused status=503 reason=")
            .then_some(())
    });
    drop((half, chunked, announced, polite));
    expect_nothing_charged(&server);
    assert_eq!(deliveries(&server.ask(broadcast(600 * KIB))), 1);
}

#[test]
fn usual_requests_take_nothing_of_the_budget() {
    let server = server_with("1B");
    let mut alice = server.subscriber(&["a"]);
    let mut http = server.http();
    for _ in 0..3 {
        assert_eq!(deliveries(&http.send(broadcast(1000)).response()), 1);
        alice.expect(&format!(r#"{{"x":"{}"}}"#, "x".repeat(1000)));
    }
    // In two pieces, as many clients send them.
    let request = broadcast(1000);
    let (head, body) = request.split_at(request.len() - 1200);
    http.send(head)
        .expect_silence(std::time::Duration::from_millis(50));
    assert_eq!(deliveries(&http.send(body).response()), 1);
    assert_eq!(server.http().send(HANDSHAKE).response().status, 101);
    let refusal = server.ask(broadcast(20 * KIB));
    expect_over_budget(&refusal);
    expect_nothing_charged(&server);
}

#[test]
fn refused_client_that_goes_on_sending_holds_nothing() {
    let server = server_with("1MiB");
    let mut stubborn: Vec<_> = (0..5).map(|_| server.http()).collect();
    for http in &mut stubborn {
        http.try_send(half_body(MIB, 700 * KIB));
    }
    for http in &mut stubborn {
        expect_over_budget(&http.response());
    }
    // None of them has closed: the server still reads, and drops, what they send.
    expect_nothing_charged(&server);
}

#[test]
fn answered_request_holds_nothing_while_its_connection_is_kept() {
    let server = server_with("16MiB");
    let mut http = server.http();
    assert_eq!(deliveries(&http.send(broadcast(600 * KIB)).response()), 0);
    expect_nothing_charged(&server);
    http.get("/healthz");
    assert_eq!(http.send(half_body(MIB, MIB)).response().status, 400);
    expect_nothing_charged(&server);
}

#[test]
fn reload_changes_the_budget_at_once() {
    let mut server = ReloadableServer::start(Launch::serve().env(ANYWHERE.0, ANYWHERE.1));
    let ask = |server: &Server| server.ask(broadcast(600 * KIB));
    assert_eq!(deliveries(&ask(&server)), 0);
    let mut begun = server.http();
    begun.send(half_body(MIB, 300 * KIB));
    let line = server.reload_with("BIFROST_INPUT_TOTAL=100KiB");
    assert!(line.contains("BIFROST_INPUT_TOTAL=100KiB"), "{line}");
    assert!(!line.contains("needs_restart"), "{line}");
    expect_over_budget(&ask(&server));
    // What had begun to arrive may not grow any more.
    begun.try_send(vec![b' '; 600 * KIB]);
    expect_over_budget(&begun.response());
    server.reload_with("BIFROST_INPUT_TOTAL=64MiB");
    eventually("there is room again", || {
        (ask(&server).status == 200).then_some(())
    });
}
