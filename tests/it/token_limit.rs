//! The limit of subscribers per token: by its claim `sub`, or by the token itself.

use crate::support::process::Launch;
use crate::support::reloadable_server::ReloadableServer;
use crate::support::server::Server;
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::support::subscriber::Subscriber;
use crate::support::{eventually, token};

const OVER: &str = "Too many connections for this token";

/// Subscribes with a token that has these claims beside the channels.
fn subscribe(server: &Server, more: &str) -> Subscriber {
    let mut subscriber = server.connect();
    subscriber.authenticate(&token::sign(&format!(r#"{{"channels":["a"]{more}}}"#)));
    subscriber
}

fn subscribed(server: &Server, more: &str) -> Subscriber {
    let mut subscriber = subscribe(server, more);
    subscriber.expect_confirmed(&["a"]);
    subscriber
}

/// Subscribes as soon as another connection is gone.
fn subscribed_again(server: &Server, more: &str) -> Subscriber {
    eventually("there is a place again", || {
        let mut raw = server.raw();
        let claims = format!(r#"{{"channels":["a"]{more}}}"#);
        raw.authenticate(&token::sign(&claims));
        let is_text = raw.next().first == crate::support::raw::TEXT;
        is_text.then_some(())
    });
    subscribed(server, more)
}

#[test]
fn subscribers_with_one_subject_or_token_are_limited() {
    let server = ServerWithMetrics::with(&[("BIFROST_MAX_CONNECTIONS_PER_TOKEN", "2")]);
    let alice = r#","sub":"alice""#;
    let mut open = vec![
        subscribed(&server, alice),
        subscribed(&server, r#","sub":"alice","exp":4102444800"#),
    ];
    // Another token of the same subject, however it is spelled.
    let mut third = subscribe(&server, r#","sub":"\u0061lice","x":1"#);
    third.expect_close(1008, OVER);
    open.push(subscribed(&server, r#","sub":"bob""#));
    // Without a usable sub, it is the token that counts.
    for more in ["", r#","sub":5"#] {
        open.push(subscribed(&server, more));
        open.push(subscribed(&server, more));
        subscribe(&server, more).expect_close(1008, OVER);
    }
    let scrape = server.scrape();
    let rejected = scrape.labelled("bifrost_connections_rejected_total", "reason", "per_token");
    assert_eq!(rejected, 3.0);
    server.stderr.wait_for("the refusal", |line| {
        let is_it = line.contains("subscriber refused") && line.contains("code=1008");
        assert!(!line.contains("alice"), "{line}");
        is_it.then_some(())
    });
    drop(open.remove(0));
    subscribed_again(&server, alice);
}

#[test]
fn only_the_first_token_of_a_connection_counts() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS_PER_TOKEN", "1")]);
    let _alice = subscribed(&server, r#","sub":"alice""#);
    let mut bob = subscribed(&server, r#","sub":"bob""#);
    for more in [r#","sub":"alice""#, r#","sub":"bob""#] {
        bob.authenticate(&token::sign(&format!(r#"{{"channels":["a"]{more}}}"#)));
        bob.expect_confirmed(&["a"]);
    }
    // A connection without a good token has no place.
    let _stranger = server.connect();
    subscribed(&server, r#","sub":"carol""#);
}

#[test]
fn reload_changes_the_limit_for_new_subscribers() {
    let mut server = ReloadableServer::start(Launch::serve());
    let open: Vec<_> = (0..3).map(|_| subscribed(&server, "")).collect();
    let line = server.reload_with("BIFROST_MAX_CONNECTIONS_PER_TOKEN=3");
    assert_eq!(line, "reloaded BIFROST_MAX_CONNECTIONS_PER_TOKEN=3");
    subscribe(&server, "").expect_close(1008, OVER);
    assert_eq!(server.broadcast("a", "{}"), open.len() as u64);
    server.reload_with("BIFROST_MAX_CONNECTIONS_PER_TOKEN=4");
    subscribed(&server, "");
}
