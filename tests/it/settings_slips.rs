//! Settings that are not what they were meant to be, and a stderr that can't be written.

use jsonwebtoken::Algorithm;

use crate::support::process::Launch;
use crate::support::reloadable_server::ReloadableServer;
use crate::support::server::deliveries;
use crate::support::token::{SECRET, publish_claims, sign_with};

const OTHER: &str = "another-secret-that-has-more-than-32-bytes";

#[test]
fn what_looks_like_a_setting_and_is_none_is_told() {
    let launch = Launch::serve().env("BIFROST_ALLOWED_ORIGIN", "https://a.test");
    let mut server = ReloadableServer::start(launch);
    let told = |name: &str| format!("WARN {name} is set, but is no setting");
    let wait = |server: &ReloadableServer, name: &str| {
        server
            .stderr
            .wait_for("a warning", |line| line.contains(&told(name)).then_some(()));
    };
    wait(&server, "BIFROST_ALLOWED_ORIGIN");
    // What is new is told when it is read again, and what was told before is not.
    server.reload_with("BIFROST_QUEU=1");
    wait(&server, "BIFROST_QUEU");
    let log = server.stderr.so_far().join("\n");
    assert_eq!(
        log.matches(&told("BIFROST_ALLOWED_ORIGIN")).count(),
        1,
        "{log}"
    );
}

#[test]
fn flag_for_the_secret_file_wins_over_a_secret() {
    let from_environment = |launch: Launch| launch.env("JWT_SECRET", SECRET);
    let from_dotenv = |launch: Launch| {
        let dotenv = format!("JWT_SECRET={SECRET}\n");
        launch.without("JWT_SECRET").dotenv(&dotenv)
    };
    for given in [from_environment as fn(Launch) -> Launch, from_dotenv] {
        let launch = given(Launch::serve()).file("other", OTHER);
        let server = launch.args(&["--jwt-secret-file", "other"]).start();
        let claims = publish_claims("a", "{}");
        let token = sign_with(Algorithm::HS512, OTHER.as_bytes(), &claims);
        assert_eq!(deliveries(&server.post_token(&token)), 0);
        let token = sign_with(Algorithm::HS512, SECRET.as_bytes(), &claims);
        server.post_token(&token).expect_error(400);
    }
    let launch = Launch::serve().env("JWT_SECRET_PREVIOUS", "too short");
    let launch = launch.file("other", OTHER);
    let launch = launch.args(&["check", "--jwt-secret-previous-file", "other"]);
    assert_eq!(launch.run().code, Some(0));
}

#[test]
fn exit_status_is_the_same_when_stderr_can_not_be_written() {
    for (arguments, code) in [
        ("--port x", 2),
        ("serve --port x", 2),
        ("demo --port x", 2),
        ("check --port x", 2),
        ("serve --jwt-secret-file .", 1),
        ("token publisher 'a*b'", 2),
        ("health --url http://127.0.0.1:9", 1),
    ] {
        let script = format!("\"$BIFROST\" {arguments} 2>/dev/full");
        let outcome = Launch::bare()
            .env("JWT_SECRET", SECRET)
            .script(&script)
            .run();
        assert_eq!(outcome.code, Some(code), "{arguments}: {outcome:?}");
    }
    let script = "\"$BIFROST\" demo --port 0 >/dev/full";
    let outcome = Launch::bare().script(script).run();
    outcome.expect_refusal(1, &["can't write to stdout"]);
}

#[test]
fn what_kubernetes_tells_of_a_service_is_no_slip() {
    let linked = |launch: Launch| {
        launch
            .env("BIFROST_SERVICE_HOST", "10.0.0.7")
            .env("BIFROST_SERVICE_PORT", "3000")
            .env("BIFROST_PORT", "tcp://10.0.0.7:3000")
            .env("BIFROST_PORT_3000_TCP_ADDR", "10.0.0.7")
    };
    let outcome = linked(Launch::serve()).args(&["check"]).run();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!outcome.stderr.contains("no setting"), "{outcome:?}");
    let slip = linked(Launch::serve()).env("BIFROST_QUEU", "1");
    let outcome = slip.args(&["check"]).run();
    assert_eq!(
        outcome.stderr.matches("no setting").count(),
        1,
        "{outcome:?}"
    );
}
