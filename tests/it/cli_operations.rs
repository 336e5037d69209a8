//! `bifrost secret`, `check`, `health`, `completions`, `man`, and every command's help.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::free_address;
use crate::support::process::Launch;
use crate::support::server::Server;
use crate::support::token::SECRET;

/// Every command that there is.
const COMMANDS: [&[&str]; 15] = [
    &["serve"],
    &["demo"],
    &["token"],
    &["token", "subscribe"],
    &["token", "broadcast"],
    &["token", "publisher"],
    &["token", "inspect"],
    &["broadcast"],
    &["listen"],
    &["secret"],
    &["check"],
    &["health"],
    &["completions"],
    &["man"],
    &["unit"],
];

fn check() -> Launch {
    Launch::serve().args(&["check"])
}

/// The row of a setting: its value, and where it comes from.
#[track_caller]
fn row(table: &str, variable: &str) -> (String, String) {
    let row = table
        .lines()
        .find_map(|line| line.strip_prefix(variable)?.strip_prefix(' '));
    let row = row
        .unwrap_or_else(|| panic!("no {variable}: {table}"))
        .trim();
    let (value, origin) = row.rsplit_once(' ').expect("two columns");
    (value.trim().into(), origin.into())
}

#[test]
fn secret_is_long_random_and_good_for_the_server() {
    let secrets = [(); 2].map(|()| {
        Launch::bare()
            .args(&["secret"])
            .run()
            .expect_line()
            .to_owned()
    });
    assert_ne!(secrets[0], secrets[1]);
    for secret in &secrets {
        assert!(secret.len() >= 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let server = Server::with(&[("JWT_SECRET", &secrets[0])]);
    assert_eq!(server.get("/healthz").status, 200);
    let lines = server.stderr.so_far();
    assert!(
        !lines.iter().any(|line| line.contains("short secret")),
        "{lines:?}"
    );
}

#[test]
fn check_says_what_each_setting_came_out_as_and_why() {
    let launch = check()
        .env("BIFROST_QUEUE", "65536")
        .env(
            "BIFROST_ALLOWED_ORIGINS",
            "https://A.example , https://*.example",
        )
        .dotenv("BIFROST_IDLE_TIMEOUT=120\nBIFROST_QUEUE=1\n")
        .args(&["--max-body", "2048k"]);
    let outcome = launch.run();
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (Some(0), ""),
        "{outcome:?}"
    );
    for (variable, value, origin) in [
        ("JWT_SECRET", "a secret of 64 bytes", "environment"),
        ("JWT_ALGORITHM", "HS512", "default"),
        ("HOST", "127.0.0.1", "environment"),
        ("BIFROST_QUEUE", "64KiB", "environment"),
        ("BIFROST_MAX_BODY", "2MiB", "flag"),
        ("BIFROST_IDLE_TIMEOUT", "2m", ".env"),
        ("BIFROST_WRITE_TIMEOUT", "5s", "default"),
        (
            "BIFROST_ALLOWED_ORIGINS",
            "https://a.example, https://*.example",
            "environment",
        ),
        ("BIFROST_LOG", "info", "default"),
    ] {
        assert_eq!(
            row(&outcome.stdout, variable),
            (value.into(), origin.into()),
            "{variable}"
        );
    }
    assert!(!outcome.stdout.contains(SECRET), "{outcome:?}");
}

#[test]
fn check_and_serve_agree_on_what_is_wrong() {
    for (variable, value) in [
        ("PORT", "80a"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", ""),
        ("JWT_ALGORITHM", "none"),
        ("BIFROST_QUEUE", "lots"),
        ("JWT_SECRET_FILE", "none"),
        ("HOST", "192.0.2.1"),
    ] {
        let checked = check().env(variable, value).run();
        let served = Launch::serve().env(variable, value).run();
        assert_eq!(checked.code, served.code, "{variable}: {checked:?}");
        let sentence = served.stderr.lines().last().expect("a sentence");
        let sentence = sentence.split(", PORT").next().expect("a beginning");
        assert!(checked.stderr.contains(sentence), "{sentence}: {checked:?}");
        assert_eq!(
            checked.code == Some(2),
            checked.stdout.is_empty(),
            "{checked:?}"
        );
    }
    let unreadable = check()
        .without("JWT_SECRET")
        .env("JWT_SECRET_FILE", "none")
        .run();
    unreadable.expect_refusal(1, &["none"]);
}

#[test]
fn check_names_everything_that_is_wrong() {
    let launch = check()
        .env("PORT", "80a")
        .env("BIFROST_QUEUE", "lots")
        .env("JWT_SECRET", "x");
    let outcome = launch.run();
    outcome.expect_refusal(2, &["80a", "lots", "JWT_SECRET"]);
    assert_eq!(outcome.stderr.lines().count(), 3, "{outcome:?}");
}

#[test]
fn check_warns() {
    let outcome = check()
        .env("JWT_SECRET", &SECRET[..32])
        .env("BIFROST_QUEU", "1")
        .run();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for words in ["short secret", "BIFROST_QUEU "] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
    let outcome = check()
        .dotenv("BIFROST_PROT=1\n")
        .descriptors(200)
        .args(&["--max-connections", "5000"]);
    let outcome = outcome.run();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for words in ["BIFROST_PROT ", "file limit"] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
    let launch = check().without("JWT_SECRET").file("secret", SECRET);
    let path = launch.directory().join("secret");
    for (mode, lines) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("chmod");
        let launch = check().without("JWT_SECRET").env("JWT_SECRET_FILE", &path);
        let outcome = launch.run();
        assert_eq!(
            (outcome.code, outcome.stderr.lines().count()),
            (Some(0), lines),
            "{outcome:?}"
        );
    }
}

#[test]
fn check_runs_beside_the_server() {
    let server = Server::start();
    let port = server.address.port().to_string();
    let outcome = check().env("PORT", port).run();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn health_of_a_server_that_is_well() {
    let server = Server::start();
    let port = server.address.port().to_string();
    for arguments in [&["health"][..], &["health", "--live"]] {
        for host in ["0.0.0.0", "127.0.0.1"] {
            let launch = Launch::bare().env("PORT", &port).env("HOST", host);
            let outcome = launch.args(arguments).run();
            assert!(
                outcome.expect_line().contains(&server.address.to_string()),
                "{outcome:?}"
            );
        }
    }
    let url = format!("http://{}", server.address);
    let outcome = Launch::bare().args(&["health", "--url", &url]).run();
    outcome.expect_line();
}

#[test]
fn health_of_a_server_that_is_full() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "1")]);
    let _place = server.subscriber(&["a"]);
    let outcome = server.command(&["health"]).run();
    outcome.expect_refusal(1, &["not ready", "full"]);
    assert_eq!(
        outcome.stdout.lines().count() + outcome.stderr.lines().count(),
        1
    );
    assert_eq!(server.command(&["health", "--live"]).run().code, Some(0));
}

#[test]
fn health_of_no_server() {
    let port = free_address().port().to_string();
    let outcome = Launch::bare().env("PORT", &port).args(&["health"]).run();
    outcome.expect_refusal(1, &[&port, "is the server running"]);
    Launch::bare()
        .env("PORT", "0")
        .args(&["health"])
        .run()
        .expect_refusal(2, &["PORT", "--url"]);
    Launch::bare()
        .env("PORT", "x")
        .args(&["health"])
        .run()
        .expect_refusal(2, &["PORT", "\"x\""]);
}

#[test]
fn health_of_a_server_on_ipv6() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        println!("skipped: this machine has no IPv6 loopback ({error})");
        return;
    }
    let server = Server::with(&[("HOST", "::")]);
    let port = server.address.port().to_string();
    let outcome = Launch::bare()
        .env("HOST", "::")
        .env("PORT", port)
        .args(&["health"])
        .run();
    assert!(outcome.expect_line().contains("[::1]"), "{outcome:?}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = Launch::bare().args(&["completions", shell]).run();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for word in ["bifrost", "inspect", "token-file", "listen"] {
            assert!(outcome.stdout.contains(word), "{shell}: no {word}");
        }
    }
    Launch::bare()
        .args(&["completions", "tcsh"])
        .run()
        .expect_refusal(2, &["tcsh", "bash"]);
}

#[test]
fn completions_work_in_bash() {
    // What bash would offer after each of these words.
    let script = r#"
        "$BIFROST" completions bash > completions; . ./completions
        COMP_WORDS=(bifrost token in) COMP_CWORD=2 COMP_LINE='bifrost token in'
        _bifrost bifrost in token; echo "${COMPREPLY[*]}"
        COMP_WORDS=(bifrost listen --cou) COMP_CWORD=2
        _bifrost bifrost --cou listen; echo "${COMPREPLY[*]}""#;
    let launch = Launch::bare()
        .file("script", script)
        .script("exec bash script");
    assert_eq!(launch.run().stdout, "inspect\n--count\n");
}

#[test]
fn man_page_has_every_command() {
    let page = Launch::bare().args(&["man"]).run();
    assert_eq!(page.code, Some(0));
    assert!(page.stdout.contains(".TH BIFROST 1 "), "{}", page.stdout);
    for command in COMMANDS {
        let heading = format!(".SH \"BIFROST {}\"", command.join(" ").to_uppercase());
        assert!(page.stdout.contains(&heading), "no {heading}");
    }
}

#[test]
fn pages_of_the_manual_are_listed_and_printed() {
    let list = Launch::bare().args(&["man", "--list"]).run();
    assert_eq!(list.code, Some(0), "{list:?}");
    assert!(
        list.stdout.lines().any(|name| name == "protocol"),
        "{list:?}"
    );
    for name in list.stdout.lines() {
        let page = Launch::bare().args(&["man", name]).run();
        assert_eq!(page.code, Some(0), "{page:?}");
        let title = format!(".TH \"BIFROST\\-{}\" 7 ", name.to_uppercase());
        assert!(page.stdout.starts_with(&title), "{name}: {}", page.stdout);
    }
    Launch::bare()
        .args(&["man", "nonsense"])
        .run()
        .expect_refusal(2, &["nonsense", "protocol"]);
}

#[test]
fn every_command_has_help_without_any_setting() {
    for command in COMMANDS {
        let outcome = Launch::bare()
            .dotenv("nonsense")
            .args(command)
            .args(&["--help"])
            .run();
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{outcome:?}"
        );
        for words in ["Usage: bifrost ", "Examples:\n", "Exit status: "] {
            assert!(outcome.stdout.contains(words), "{command:?}: no {words:?}");
        }
    }
}

#[test]
fn commands_that_need_no_setting_read_none() {
    for command in [&["secret"][..], &["man"], &["completions", "bash"]] {
        let outcome = Launch::bare().dotenv("nonsense").args(command).run();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
}
