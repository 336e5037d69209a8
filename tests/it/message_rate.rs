//! The rate of messages: a client that never pauses is closed with 1008, whatever its frames are.

use crate::support::raw::{CLOSE, PING, PONG, RawSocket, TEXT, close_payload, masked};
use crate::support::server_with_metrics::ServerWithMetrics;

/// First byte of a frame that begins a message, and of one that goes on with it.
const TEXT_BEGINS: u8 = 0x01;
const CONTINUES: u8 = 0x00;
const JSON_PING: &str = r#"{"event":"ping"}"#;
/// Frames that a client may send at once before it has shown a token, and after.
const STRANGER: usize = 100;
const AUTHENTICATED: usize = 1_000;

fn too_many() -> Vec<u8> {
    close_payload(1008, "Too many messages")
}

/// Sends frames without a pause until the server closes; returns the payload of its close frame.
fn flood(raw: &mut RawSocket, frame: &[u8]) -> Vec<u8> {
    let mut sender = raw.http.sender();
    let frames = frame.repeat(500);
    std::thread::scope(|scope| {
        scope.spawn(move || while std::io::Write::write_all(&mut sender, &frames).is_ok() {});
        loop {
            let received = raw.next();
            if received.first == CLOSE {
                raw.expect_end();
                return received.payload;
            }
        }
    })
}

#[test]
fn stranger_that_never_pauses_is_closed() {
    let server = ServerWithMetrics::start();
    for frame in [
        masked(TEXT, JSON_PING),
        masked(PING, ""),
        masked(PONG, "x"),
        masked(TEXT, "garbage"),
    ] {
        assert_eq!(flood(&mut server.raw(), &frame), too_many());
    }
    let scrape = server.scrape();
    assert_eq!(scrape.value("bifrost_flooding_clients_cut_total"), 4.0);
    server.stderr.wait_for("the flood is logged", |line| {
        line.contains("ending=too_many_messages").then_some(())
    });
}

#[test]
fn client_that_never_ends_a_message_is_closed() {
    let server = ServerWithMetrics::start();
    let mut stranger = server.raw();
    stranger.send(TEXT_BEGINS, "");
    assert_eq!(flood(&mut stranger, &masked(CONTINUES, "")), too_many());
    let mut subscriber = server.raw_subscriber(&["a"]);
    subscriber.send(TEXT_BEGINS, "");
    assert_eq!(flood(&mut subscriber, &masked(CONTINUES, "")), too_many());
}

#[test]
fn burst_of_a_client_is_answered() {
    let server = ServerWithMetrics::start();
    let mut stranger = server.raw();
    stranger.http.send(masked(TEXT, JSON_PING).repeat(STRANGER));
    (0..STRANGER).for_each(|_| stranger.expect_pong());
    let mut subscriber = server.raw_subscriber(&["a"]);
    let pings = AUTHENTICATED - 10; // it has sent a token, and may have answered a ping
    subscriber.http.send(masked(TEXT, JSON_PING).repeat(pings));
    (0..pings).for_each(|_| subscriber.expect_pong());
}
