//! Where settings come from, what they may be, and how a bad one stops the start.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use jsonwebtoken::Algorithm;

use crate::support::process::Launch;
use crate::support::server::{Server, deliveries};
use crate::support::token::{self, SECRET, publish_claims, sign_with};

/// Settings with a value that does not parse.
const BAD: [(&str, &str); 22] = [
    ("PORT", "80a"),
    ("PORT", "65536"),
    ("PORT", "-1"),
    ("PORT", "http"),
    ("JWT_ALGORITHM", "HS1024"),
    ("JWT_ALGORITHM", "none"),
    ("JWT_ALGORITHM", "RS256"),
    ("BIFROST_MAX_CONNECTIONS", "many"),
    ("BIFROST_MAX_CONNECTIONS", "-5"),
    ("BIFROST_MAX_CONNECTIONS", "1.5"),
    ("BIFROST_MAX_BODY", "1Mib2"),
    ("BIFROST_MAX_BODY", "12s"),
    ("BIFROST_MAX_BODY", "99999999999999GiB"),
    ("BIFROST_QUEUE", "lots"),
    ("BIFROST_PING_INTERVAL", "15x"),
    ("BIFROST_AUTH_TIMEOUT", "10KiB"),
    ("BIFROST_REQUEST_TIMEOUT", "-10s"),
    ("BIFROST_IDLE_TIMEOUT", "s75"),
    ("BIFROST_WRITE_TIMEOUT", "soon"),
    ("BIFROST_DRAIN_TIMEOUT", "ten seconds"),
    ("BIFROST_DRAIN_TIMEOUT", "99999999999999999999h"),
    ("BIFROST_LOG", "loud"),
];

/// Settings of every kind, with a value that each may have.
const GOOD: [(&str, &str); 13] = [
    ("HOST", "127.0.0.1"),
    ("PORT", "0"),
    ("JWT_ALGORITHM", "HS384"),
    ("BIFROST_MAX_CONNECTIONS", "100"),
    ("BIFROST_MAX_BODY", "2MiB"),
    ("BIFROST_QUEUE", "64KiB"),
    ("BIFROST_PING_INTERVAL", "30s"),
    ("BIFROST_AUTH_TIMEOUT", "1m"),
    ("BIFROST_REQUEST_TIMEOUT", "1500ms"),
    ("BIFROST_IDLE_TIMEOUT", "1h"),
    ("BIFROST_WRITE_TIMEOUT", "7"),
    ("BIFROST_DRAIN_TIMEOUT", "1s"),
    ("BIFROST_ALLOWED_ORIGINS", "https://example.com"),
];

fn flag(variable: &str) -> String {
    let name = variable.strip_prefix("BIFROST_").unwrap_or(variable);
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

#[test]
fn bad_variable_stops_the_start_and_is_named_with_its_value() {
    for (variable, value) in BAD {
        Launch::serve()
            .env(variable, value)
            .run()
            .expect_refusal(2, &[variable, value]);
    }
}

#[test]
fn refusal_says_what_the_value_may_be() {
    for (variable, value, cure) in [
        ("PORT", "80a", "65535"),
        ("JWT_ALGORITHM", "none", "HS512"),
        ("BIFROST_LOG", "loud", "debug"),
        ("BIFROST_MAX_BODY", "much", "MiB"),
        ("BIFROST_PING_INTERVAL", "often", "ms"),
        ("BIFROST_MAX_CONNECTIONS", "many", "number"),
    ] {
        let outcome = Launch::serve().env(variable, value).run();
        outcome.expect_refusal(2, &[variable, value, cure]);
    }
}

#[test]
fn bad_flag_stops_the_start_and_is_named_with_its_value() {
    for (variable, value) in BAD {
        let flag = flag(variable);
        let outcome = Launch::serve()
            .args(&["serve", &format!("{flag}={value}")])
            .run();
        outcome.expect_refusal(2, &[value]);
        let stderr = &outcome.stderr;
        assert!(
            stderr.contains(&flag) || stderr.contains(variable),
            "{flag}: {stderr}"
        );
    }
}

#[test]
fn bad_line_in_dotenv_stops_the_start_and_is_named_with_its_value() {
    for (variable, value) in [
        ("BIFROST_QUEUE", "lots"),
        ("PORT", "80a"),
        ("BIFROST_LOG", "loud"),
    ] {
        let launch = Launch::serve()
            .without(variable)
            .dotenv(&format!("{variable}={value}\n"));
        launch.run().expect_refusal(2, &[variable, value]);
    }
}

#[test]
fn unknown_flags_and_commands_stop_the_start() {
    for arguments in [
        &["serve", "--nonsense"][..],
        &["--nonsense"],
        &["nonsense"],
        &["serve", "extra"],
        &["--port"],
    ] {
        let outcome = Launch::serve().args(arguments).run();
        outcome.expect_refusal(2, &[]);
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_setting_is_taken_from_the_environment() {
    let launch = GOOD
        .into_iter()
        .fold(Launch::serve(), |launch, (variable, value)| {
            launch.env(variable, value)
        });
    let server = launch.env("BIFROST_LOG", "debug").start();
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn every_setting_is_taken_from_a_flag() {
    let flags: Vec<String> = GOOD
        .into_iter()
        .flat_map(|(variable, value)| [flag(variable), value.to_owned()])
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let launch = || Launch::bare().env("JWT_SECRET", SECRET);
    let server = launch()
        .args(&["serve"])
        .args(&flags)
        .args(&["--log", "debug"])
        .start();
    assert_eq!(server.get("/healthz").status, 200);
    let server = launch().args(&flags).start();
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn every_setting_is_taken_from_dotenv() {
    let lines: String = GOOD
        .into_iter()
        .map(|(variable, value)| format!("{variable}={value}\n"))
        .collect();
    let server = Launch::bare()
        .dotenv(&format!("# settings\nJWT_SECRET={SECRET}\n\n{lines}"))
        .start();
    assert_eq!(server.address.ip().to_string(), "127.0.0.1");
    let token = sign_with(
        Algorithm::HS384,
        SECRET.as_bytes(),
        &publish_claims("a", "{}"),
    );
    assert_eq!(deliveries(&server.post_token(&token)), 0);
}

/// The status of a broadcast with a body of that many bytes: 413 from the limit on.
fn status_of_body(server: &Server, length: usize) -> u16 {
    server
        .post("/broadcast", "application/json", vec![b' '; length])
        .status
}

#[track_caller]
fn expect_body_limit(server: &Server, limit: usize) {
    assert_eq!(
        (
            status_of_body(server, limit),
            status_of_body(server, limit + 1)
        ),
        (400, 413)
    );
}

#[test]
fn flag_wins_over_environment_wins_over_dotenv() {
    let dotenv = || Launch::serve().dotenv("BIFROST_MAX_BODY=300\n");
    expect_body_limit(&dotenv().start(), 300);
    expect_body_limit(&dotenv().env("BIFROST_MAX_BODY", "200").start(), 200);
    expect_body_limit(
        &dotenv()
            .env("BIFROST_MAX_BODY", "200")
            .args(&["--max-body", "100"])
            .start(),
        100,
    );
    expect_body_limit(&dotenv().args(&["serve", "--max-body=100"]).start(), 100);
}

#[test]
fn empty_variable_is_an_unset_one() {
    let names = GOOD
        .into_iter()
        .filter(|(name, _)| !["HOST", "PORT"].contains(name));
    let launch = names.fold(Launch::serve(), |launch, (variable, _)| {
        launch.env(variable, "")
    });
    let server = launch
        .env("BIFROST_LOG", "")
        .env("JWT_SECRET_FILE", "")
        .start();
    assert_eq!(server.broadcast("a", "{}"), 0);
    expect_body_limit(&server, 1024 * 1024);
    Launch::serve()
        .env("JWT_SECRET", "")
        .run()
        .expect_refusal(2, &["JWT_SECRET"]);
}

#[test]
fn empty_variable_lets_dotenv_speak() {
    let server = Launch::serve()
        .env("BIFROST_MAX_BODY", "")
        .dotenv("BIFROST_MAX_BODY=300\n")
        .start();
    expect_body_limit(&server, 300);
}

#[test]
fn sizes_have_units() {
    for (written, bytes) in [
        ("1000", 1000),
        ("1000B", 1000),
        ("1KiB", 1024),
        ("1k", 1024),
        ("3KiB", 3 * 1024),
    ] {
        expect_body_limit(&Server::with(&[("BIFROST_MAX_BODY", written)]), bytes);
    }
    for written in ["1MiB", "1M"] {
        expect_body_limit(&Server::with(&[("BIFROST_MAX_BODY", written)]), 1024 * 1024);
    }
    for written in ["1GiB", "1G"] {
        assert_eq!(
            status_of_body(
                &Server::with(&[("BIFROST_MAX_BODY", written)]),
                2 * 1024 * 1024
            ),
            400
        );
    }
}

#[test]
fn bare_number_is_seconds() {
    let server = Server::with(&[("BIFROST_AUTH_TIMEOUT", "1")]);
    let started = std::time::Instant::now();
    server
        .connect()
        .expect_close(4002, "Authentication timed out");
    assert!(
        started.elapsed().as_millis() >= 1000,
        "after {:?}",
        started.elapsed()
    );
}

#[test]
fn bifrost_alone_is_bifrost_serve() {
    for arguments in [&[][..], &["serve"]] {
        assert_eq!(
            Launch::serve()
                .args(arguments)
                .start()
                .get("/healthz")
                .status,
            200
        );
    }
}

#[test]
fn help_and_version_need_no_secret() {
    for argument in ["--version", "-V"] {
        let outcome = Launch::bare().args(&[argument]).run();
        assert_eq!(
            (outcome.code, outcome.stdout.trim()),
            (Some(0), concat!("bifrost ", env!("CARGO_PKG_VERSION")))
        );
    }
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let outcome = Launch::bare().args(arguments).run();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("--max-connections"), "{outcome:?}");
        assert!(outcome.stdout.contains("JWT_SECRET"), "{outcome:?}");
    }
}

#[test]
fn port_0_takes_a_free_one_and_says_which() {
    let (one, other) = (Server::start(), Server::start());
    assert_ne!(one.address.port(), 0);
    assert_ne!(one.address, other.address);
}

#[test]
fn listening_line_is_logged_once() {
    let server = Server::start();
    server.get("/healthz");
    let lines = server.stderr.so_far();
    let wanted = format!("listening addr={}", server.address);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("listening addr="))
            .count(),
        1,
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.contains(&wanted)),
        "{lines:#?}"
    );
}

#[test]
fn ipv6_works() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        println!("skipped: this machine has no IPv6 loopback ({error})");
        return;
    }
    for host in ["[::1]", "::"] {
        assert!(Server::with(&[("HOST", host)]).address.is_ipv6());
    }
    let server = Server::with(&[("HOST", "::1")]);
    assert!(server.address.is_ipv6());
    let mut alice = server.subscriber(&["a"]);
    assert_eq!(server.broadcast("a", "{}"), 1);
    alice.expect("{}");
}

#[test]
fn port_that_is_taken_is_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    Launch::serve()
        .env("PORT", &port)
        .run()
        .expect_refusal(1, &[&port, "choose another PORT"]);
}

#[test]
fn address_of_another_machine_is_status_1() {
    // 192.0.2.0/24 is for documentation: no machine has it.
    Launch::serve()
        .env("HOST", "192.0.2.1")
        .run()
        .expect_refusal(1, &["192.0.2.1"]);
}

#[test]
fn host_that_is_none_is_refused() {
    let outcome = Launch::serve().env("HOST", "not a host").run();
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert!(outcome.stderr.contains("not a host"), "{outcome:?}");
}

#[test]
fn host_with_a_port_is_refused_with_its_cure() {
    for host in ["127.0.0.1:3000", "localhost:3000", "[::1]:3000"] {
        let words = [host, "which has a port in it; give that as PORT"];
        for command in ["serve", "check"] {
            let launch = Launch::serve().env("HOST", host).args(&[command]);
            launch.run().expect_refusal(2, &words);
        }
    }
}

#[test]
fn missing_secret_is_refused() {
    Launch::serve()
        .without("JWT_SECRET")
        .run()
        .expect_refusal(2, &["JWT_SECRET"]);
    Launch::bare()
        .args(&["serve"])
        .run()
        .expect_refusal(2, &["JWT_SECRET"]);
}

#[test]
fn secret_under_32_bytes_is_refused_and_not_shown() {
    let short = &SECRET[..31];
    let outcome = Launch::serve().env("JWT_SECRET", short).run();
    outcome.expect_refusal(2, &["JWT_SECRET", "32"]);
    assert!(
        !outcome.stderr.contains(short) && !outcome.stdout.contains(short),
        "{outcome:?}"
    );
    let launch = Launch::serve()
        .without("JWT_SECRET")
        .file("secret", short)
        .env("JWT_SECRET_FILE", "secret");
    let outcome = launch.run();
    outcome.expect_refusal(2, &["JWT_SECRET"]);
    assert!(!outcome.stderr.contains(short), "{outcome:?}");
}

/// Lines of the start that warn about the secret.
fn warnings(server: &Server) -> Vec<String> {
    server.get("/healthz"); // whatever the start had to say, it has said
    let lines = server.stderr.so_far().into_iter();
    lines
        .filter(|line| {
            line.to_lowercase().contains("warn") && line.to_lowercase().contains("secret")
        })
        .collect()
}

#[test]
fn secret_under_64_bytes_is_a_warning() {
    for (length, count) in [(32, 1), (63, 1), (64, 0)] {
        let secret = &SECRET[..length];
        let server = Server::with(&[("JWT_SECRET", secret)]);
        let warnings = warnings(&server);
        assert_eq!(warnings.len(), count, "{length}: {warnings:?}");
        assert!(!warnings.concat().contains(secret));
        let token = sign_with(
            Algorithm::HS512,
            secret.as_bytes(),
            &publish_claims("a", "{}"),
        );
        assert_eq!(deliveries(&server.post_token(&token)), 0);
    }
}

#[test]
fn what_was_left_on_a_secret_is_a_warning_and_part_of_it() {
    let quoted = format!("\"{SECRET}\"");
    let marked = format!("\u{FEFF}{SECRET} \n\n");
    let launch = |command: &str| {
        let launch = Launch::serve().args(&[command]).without("JWT_SECRET");
        let launch = launch
            .file("secret", &marked)
            .env("JWT_SECRET_FILE", "secret");
        launch.env("JWT_SECRET_PREVIOUS", &quoted)
    };
    let expected = [
        "the secret begins with a byte order mark, which is part of it; is that meant?",
        "the secret ends with white space, which is part of it; is that meant?",
        "the previous secret begins and ends with a quote, which is part of it; is that meant?",
    ];
    let server = launch("serve").start();
    let warnings = warnings(&server);
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, sentence) in warnings.iter().zip(expected) {
        assert!(warning.ends_with(&format!(" WARN {sentence}")), "{warning}");
        assert!(!warning.contains(SECRET));
    }
    let kept = marked.strip_suffix('\n').expect("a newline");
    for secret in [kept, &quoted] {
        let claims = publish_claims("a", "{}");
        let token = sign_with(Algorithm::HS512, secret.as_bytes(), &claims);
        assert_eq!(deliveries(&server.post_token(&token)), 0);
    }
    let checked = launch("check").run();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for sentence in expected {
        let warning = format!("warning: {sentence}\n");
        assert!(checked.stderr.contains(&warning), "{checked:?}");
    }
    assert!(!checked.stderr.contains(SECRET) && !checked.stdout.contains(SECRET));
}

#[test]
fn secret_is_counted_and_used_as_bytes() {
    let wide = "é".repeat(16);
    let server = Server::with(&[("JWT_SECRET", &wide)]);
    let token = sign_with(
        Algorithm::HS512,
        wide.as_bytes(),
        &publish_claims("a", "{}"),
    );
    assert_eq!(deliveries(&server.post_token(&token)), 0);
    let outcome = Launch::serve().env("JWT_SECRET", "é".repeat(15)).run();
    outcome.expect_refusal(2, &["JWT_SECRET"]);
}

#[test]
fn secret_need_not_be_utf8() {
    let bytes = [&[0xFF, 0xFE, 0x80][..], &[b'x'; 64]].concat();
    let token = sign_with(Algorithm::HS512, &bytes, &publish_claims("a", "{}"));
    let from_file = Launch::serve()
        .without("JWT_SECRET")
        .file("secret", &bytes)
        .env("JWT_SECRET_FILE", "secret");
    assert_eq!(deliveries(&from_file.start().post_token(&token)), 0);
    let from_variable = Launch::serve().env("JWT_SECRET", OsString::from_vec(bytes));
    assert_eq!(deliveries(&from_variable.start().post_token(&token)), 0);
}

#[test]
fn secret_file_loses_one_trailing_newline() {
    for (content, secret) in [
        (SECRET.to_owned(), SECRET.to_owned()),
        (format!("{SECRET}\n"), SECRET.to_owned()),
        (format!("{SECRET}\n\n"), format!("{SECRET}\n")),
        (format!(" {SECRET} \n"), format!(" {SECRET} ")),
    ] {
        let launch = Launch::serve()
            .without("JWT_SECRET")
            .file("secret", &content);
        let path = launch.directory().join("secret");
        let server = launch.env("JWT_SECRET_FILE", path).start();
        let token = sign_with(
            Algorithm::HS512,
            secret.as_bytes(),
            &publish_claims("a", "{}"),
        );
        assert_eq!(deliveries(&server.post_token(&token)), 0, "{content:?}");
    }
}

#[test]
fn trailing_newline_does_not_count_towards_the_32_bytes() {
    let content = format!("{}\n", &SECRET[..31]);
    let launch = Launch::serve()
        .without("JWT_SECRET")
        .file("secret", content)
        .env("JWT_SECRET_FILE", "secret");
    launch.run().expect_refusal(2, &["JWT_SECRET"]);
}

#[test]
fn both_secrets_are_refused() {
    let outcome = Launch::serve()
        .file("secret", SECRET)
        .env("JWT_SECRET_FILE", "secret")
        .run();
    outcome.expect_refusal(2, &["JWT_SECRET", "JWT_SECRET_FILE"]);
    assert!(!outcome.stderr.contains(SECRET), "{outcome:?}");
}

#[test]
fn unreadable_secret_file_is_status_1() {
    let outcome = Launch::serve()
        .without("JWT_SECRET")
        .env("JWT_SECRET_FILE", "no-such-file")
        .run();
    outcome.expect_refusal(1, &["no-such-file"]);
    let outcome = Launch::serve()
        .without("JWT_SECRET")
        .env("JWT_SECRET_FILE", ".")
        .run();
    outcome.expect_refusal(1, &["JWT_SECRET_FILE"]);
}

#[test]
fn secret_is_never_a_flag() {
    for arguments in [
        &["--jwt-secret", SECRET][..],
        &[&format!("--jwt-secret={SECRET}")],
        &["serve", "--secret", SECRET],
    ] {
        let outcome = Launch::serve().args(arguments).run();
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
    }
    let help = Launch::bare().args(&["serve", "--help"]).run().stdout;
    assert!(
        !help.contains("--jwt-secret ") && !help.contains("--secret"),
        "{help}"
    );
}

#[test]
fn each_algorithm_accepts_itself_alone() {
    let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    for configured in algorithms {
        let server = Server::with(&[("JWT_ALGORITHM", &format!("{configured:?}"))]);
        for used in algorithms {
            let response = server.post_token(&sign_with(
                used,
                SECRET.as_bytes(),
                &publish_claims("a", "{}"),
            ));
            if used == configured {
                assert_eq!(deliveries(&response), 0);
            } else {
                response.expect_json(400, r#"{"error":"Bad signature"}"#);
            }
            let mut alice = server.connect();
            alice.authenticate(&sign_with(
                used,
                SECRET.as_bytes(),
                &token::subscribe_claims(&["a"]),
            ));
            if used == configured {
                alice.expect_confirmed(&["a"]);
                alice.leave();
                server.wait_connected(0);
            } else {
                alice.expect_close(4001, "Not Authorized!");
            }
        }
    }
}

#[test]
fn byte_order_mark_of_dotenv_is_no_part_of_the_first_name() {
    let dotenv = format!("\u{FEFF}JWT_SECRET={SECRET}\nHOST=127.0.0.1\nPORT=0\n");
    let server = Launch::bare().dotenv(&dotenv).start();
    assert_eq!(server.broadcast("a", "{}"), 0);
    let empty = Launch::serve().dotenv("\u{FEFF}");
    assert_eq!(empty.args(&["check"]).run().code, Some(0));
}

#[test]
fn dotenv_that_can_not_be_read_is_named_with_the_reason() {
    let loops = |command: &str| {
        let launch = Launch::serve().args(&[command]);
        symlink(".env", launch.directory().join(".env")).expect("make a link");
        launch
    };
    let is_directory = |command: &str| {
        let launch = Launch::serve().args(&[command]);
        std::fs::create_dir(launch.directory().join(".env")).expect("create a directory");
        launch
    };
    let is_binary = |command: &str| {
        let launch = Launch::serve().args(&[command]);
        launch.file(".env", b"PORT=\xFF\n")
    };
    for command in ["serve", "check"] {
        for (launch, reason) in [
            (loops(command), "ymbolic link"),
            (is_directory(command), "directory"),
            (is_binary(command), "UTF-8"),
        ] {
            let outcome = launch.run();
            outcome.expect_refusal(1, &["bifrost: .env can't be read: ", reason]);
        }
    }
}

#[test]
fn dotenv_of_another_directory_is_not_read() {
    let launch = Launch::bare()
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .args(&["serve"]);
    let inner = launch.directory().join("inner");
    std::fs::create_dir(&inner).expect("create a directory");
    std::fs::write(inner.join(".env"), format!("JWT_SECRET={SECRET}\n")).expect("write a file");
    launch.run().expect_refusal(2, &["JWT_SECRET"]);
}
