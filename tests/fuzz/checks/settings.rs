//! Settings: no input makes the reader panic, every value is within its limits and is the one
//! that a second, simpler reader finds, and no message depends on the bytes of a secret.
//!
//! An input is lines of `VARIABLE=value`. A line `Origin=` is not a setting, but the origin of a
//! page to check against the allowed ones. The files of secrets are left out, since a made-up
//! path could name any file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use bifrost::config::{Config, Given, Origins, SETTINGS, Variables};

const DAY: u128 = 24 * 3600 * 1000;
const GIB: u128 = 1 << 30;

/// Checks one input.
pub fn check(data: &[u8]) {
    let (variables, origins) = read(data);
    let outcome = Config::from_variables(&variables);
    check_that_the_secret_stays_secret(&variables, &outcome);
    let Ok(config) = outcome else {
        return;
    };
    check_values(&variables, &config);
    assert!(
        config
            .max_connections
            .is_none_or(|most| (1..=1_000_000).contains(&most))
    );
    assert!(config.secret.size() >= 32);
    let list = text(&variables, "BIFROST_ALLOWED_ORIGINS").unwrap_or_default();
    assert_eq!(config.allowed_origins.is_none(), list.trim().is_empty());
    if let Some(allowed) = &config.allowed_origins {
        for origin in origins {
            check_origin(allowed, list, &String::from_utf8_lossy(origin));
        }
    }
}

fn read(data: &[u8]) -> (Variables, Vec<&[u8]>) {
    let (mut variables, mut origins) = (Variables::new(), Vec::new());
    for line in data.split(|&byte| byte == b'\n') {
        let Some(end) = line.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = (&line[..end], &line[end + 1..]);
        if name == b"Origin" {
            origins.push(value);
        }
        let mut known = SETTINGS.iter().filter(|setting| !setting.is_secret_file());
        if let Some(setting) = known.find(|setting| setting.variable.as_bytes() == name) {
            let variable = setting.variable;
            let (name, value) = (variable.to_owned(), OsString::from_vec(value.to_vec()));
            variables.insert(variable, Given { name, value });
        }
    }
    (variables, origins)
}

/// With other secrets of the same length, the outcome reads the same.
fn check_that_the_secret_stays_secret(
    variables: &Variables,
    outcome: &Result<Config, bifrost::config::ConfigError>,
) {
    let mut others = variables.clone();
    for name in ["JWT_SECRET", "JWT_SECRET_PREVIOUS"] {
        if let Some(secret) = others.get_mut(name) {
            secret.value = "?".repeat(secret.value.len()).into();
        }
    }
    let with_other = Config::from_variables(&others);
    assert_eq!(format!("{outcome:?}"), format!("{with_other:?}"));
}

fn check_values(variables: &Variables, config: &Config) {
    let times = config.timeouts;
    for (variable, time, default) in [
        ("BIFROST_PING_INTERVAL", times.ping_interval, 15),
        ("BIFROST_AUTH_TIMEOUT", times.auth, 10),
        ("BIFROST_REQUEST_TIMEOUT", times.request, 10),
        ("BIFROST_IDLE_TIMEOUT", times.idle, 75),
        ("BIFROST_WRITE_TIMEOUT", times.write, 5),
        ("BIFROST_DRAIN_TIMEOUT", times.drain, 10),
    ] {
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("", 1000),
        ];
        let expected = amount(text(variables, variable), &units);
        assert!(
            (1..=DAY).contains(&time.as_millis()),
            "{variable} is {time:?}"
        );
        assert_eq!(
            time.as_millis(),
            expected.unwrap_or(default * 1000),
            "{variable}"
        );
        assert_eq!(
            time,
            Duration::from_millis(time.as_millis() as u64),
            "{variable}"
        );
    }
    for (variable, size) in [
        ("BIFROST_MAX_BODY", config.max_body),
        ("BIFROST_QUEUE", config.queue),
    ] {
        let units = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", GIB),
            ("k", 1 << 10),
            ("M", 1 << 20),
            ("G", GIB),
            ("B", 1),
            ("", 1),
        ];
        let expected = amount(text(variables, variable), &units);
        assert!(
            (1..=16 * GIB).contains(&(size as u128)),
            "{variable} is {size}"
        );
        assert_eq!(size as u128, expected.unwrap_or(1 << 20), "{variable}");
    }
}

fn text<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    let text = variables.get(name)?.value.to_str()?;
    (!text.is_empty()).then_some(text)
}

/// The number times the first unit that the text ends with. The server has accepted the text.
fn amount(text: Option<&str>, units: &[(&str, u128)]) -> Option<u128> {
    let text = text?.trim();
    let of_unit = |&(unit, factor): &(&str, u128)| text.strip_suffix(unit).map(|n| (n, factor));
    let (number, factor) = units.iter().find_map(of_unit)?;
    let number: u128 = number
        .trim_end_matches(' ')
        .parse()
        .expect("it was accepted");
    Some(number * factor)
}

/// Compares with a slow and simple matcher, which tries every way to place the stars.
fn check_origin(allowed: &Origins, list: &str, origin: &str) {
    let lower = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
    let origin_text = lower(origin);
    let entries = list
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let expected = entries
        .map(|entry| lower(without_default_port(entry)))
        .any(|pattern| is_match(&pattern, &origin_text));
    assert_eq!(allowed.allow(origin), expected, "{origin:?} in {list:?}");
}

/// The entry without a slash at its end and without the default port. The server has accepted
/// the entry, so that a third slash can only be at its end.
fn without_default_port(entry: &str) -> &str {
    let slashes = entry.matches('/').count();
    let entry = match slashes {
        3 => entry.strip_suffix('/').expect("it has no path"),
        _ => entry,
    };
    let scheme = entry.split(':').next().unwrap_or_default();
    let port = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return entry,
    };
    entry.strip_suffix(port).unwrap_or(entry)
}

/// Whether a pattern matches: keeps, for each length, whether the pattern so far can stand for
/// the first characters of `text`.
fn is_match(pattern: &[char], text: &[char]) -> bool {
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for &piece in pattern {
        let mut next = vec![false; text.len() + 1];
        next[0] = piece == '*' && fits[0];
        for (at, &c) in text.iter().enumerate() {
            next[at + 1] = match piece {
                '*' => fits[at + 1] || (c != '/' && next[at]),
                _ => fits[at] && piece == c,
            };
        }
        fits = next;
    }
    fits[text.len()]
}
