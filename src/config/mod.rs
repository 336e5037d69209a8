//! The settings: what there is, what each may be, and the checked result.
//!
//! A leaf. Variables come in as pairs, wherever they were found; what comes out can be
//! used without another look.

mod origins;
mod settings;
mod units;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

pub use origins::Origins;
pub use settings::{SETTINGS, Setting};

use crate::token::{Algorithm, Secret};

/// Shorter secrets are refused, in bytes: HMAC keys should be as long as the shortest
/// hash that we offer (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;
/// Shorter secrets draw a warning, in bytes: as long as the longest hash.
const GOOD_SECRET: usize = 64;
/// No time limit may be longer; what wants more wants none.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
/// No size may be larger, in bytes.
const MAX_SIZE: u64 = 16 << 30;

/// A value and where it was found, as a message names it: `PORT` or `--port`.
#[derive(Debug, Clone)]
pub struct Given {
    /// The name that the user wrote.
    pub name: String,
    /// The value, which may be any bytes.
    pub value: OsString,
}

/// The variables that were given, by the variable's name.
pub type Variables = HashMap<&'static str, Given>;

/// Why the server can't start.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A setting that does not parse, or settings that don't go together.
    Setting(String),
    /// A file that can't be read.
    File(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Setting(message) | ConfigError::File(message) => {
                formatter.write_str(message)
            }
        }
    }
}

/// The time limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How often subscribers are pinged. Default 15 s.
    pub ping_interval: Duration,
    /// From the upgrade to the first good token. Default 10 s.
    pub auth: Duration,
    /// For a request to arrive whole. Default 10 s.
    pub request: Duration,
    /// For a keep-alive connection between requests. Default 75 s.
    pub idle: Duration,
    /// A peer that takes nothing for so long is cut. Default 5 s.
    pub write: Duration,
    /// For shutting down. Default 10 s.
    pub drain: Duration,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The HMAC secret. No default.
    pub secret: Secret,
    /// The only algorithm accepted. Default HS512.
    pub algorithm: Algorithm,
    /// Where to listen, a name or an address. Default 0.0.0.0.
    pub host: String,
    /// Where to listen; 0 takes a free port. Default 3000.
    pub port: u16,
    /// Open connections, HTTP included. Default: what the file limit allows.
    pub max_connections: Option<usize>,
    /// Largest request body, in bytes. Default 1 MiB.
    pub max_body: usize,
    /// What may wait for one subscriber, in bytes. Default 1 MiB.
    pub queue: usize,
    /// The time limits.
    pub timeouts: Timeouts,
    /// Web pages that may subscribe. Default any.
    pub allowed_origins: Option<Origins>,
    /// The least severe lines that are logged. Default info.
    pub log: LevelFilter,
}

impl Config {
    /// Checks the variables that were given. An empty one is as good as not given.
    ///
    /// # Errors
    /// The first setting that is wrong, in one sentence that names it, its value unless it
    /// is a secret, and what it may be.
    pub fn from_variables(variables: &Variables) -> Result<Config, ConfigError> {
        let read = Reader(variables);
        Ok(Config {
            algorithm: read.one_of("JWT_ALGORITHM", Algorithm::HS512, "HS256, HS384 or HS512")?,
            host: read.host()?,
            port: read
                .parsed("PORT", "a number from 0 to 65535", |text| text.parse().ok())?
                .unwrap_or(3000),
            max_connections: read.parsed(
                "BIFROST_MAX_CONNECTIONS",
                "a number from 1 to 1000000",
                |text| {
                    text.parse()
                        .ok()
                        .filter(|count| (1..=1_000_000).contains(count))
                },
            )?,
            max_body: read.size("BIFROST_MAX_BODY", 1 << 20)?,
            queue: read.size("BIFROST_QUEUE", 1 << 20)?,
            timeouts: Timeouts {
                ping_interval: read.duration("BIFROST_PING_INTERVAL", 15)?,
                auth: read.duration("BIFROST_AUTH_TIMEOUT", 10)?,
                request: read.duration("BIFROST_REQUEST_TIMEOUT", 10)?,
                idle: read.duration("BIFROST_IDLE_TIMEOUT", 75)?,
                write: read.duration("BIFROST_WRITE_TIMEOUT", 5)?,
                drain: read.duration("BIFROST_DRAIN_TIMEOUT", 10)?,
            },
            allowed_origins: read.origins()?,
            log: read.log_level()?,
            secret: read.secret()?,
        })
    }

    /// What is allowed but not good, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let size = self.secret.size();
        let short = format!("short secret bytes={size} better={GOOD_SECRET}");
        (size < GOOD_SECRET).then_some(short).into_iter().collect()
    }
}

/// Reads single settings out of the variables.
struct Reader<'a>(&'a Variables);

impl<'a> Reader<'a> {
    fn given(&self, variable: &str) -> Option<&'a Given> {
        self.0.get(variable).filter(|given| !given.value.is_empty())
    }

    fn text(&self, variable: &str) -> Result<Option<&'a str>, ConfigError> {
        let Some(given) = self.given(variable) else {
            return Ok(None);
        };
        match given.value.to_str() {
            Some(text) => Ok(Some(text.trim())),
            None => Err(wrong(given, "UTF-8 text")),
        }
    }

    fn parsed<T>(
        &self,
        variable: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let (Some(text), Some(given)) = (self.text(variable)?, self.given(variable)) else {
            return Ok(None);
        };
        parse(text).map(Some).ok_or_else(|| wrong(given, allowed))
    }

    fn one_of<T: std::str::FromStr>(
        &self,
        variable: &str,
        default: T,
        allowed: &str,
    ) -> Result<T, ConfigError> {
        Ok(self
            .parsed(variable, allowed, |text| text.parse().ok())?
            .unwrap_or(default))
    }

    fn host(&self) -> Result<String, ConfigError> {
        let is_part_of_a_name = |c: char| c.is_alphanumeric() || "-._:%[]".contains(c);
        let parse = |text: &str| text.chars().all(is_part_of_a_name).then(|| text.to_owned());
        let host = self.parsed(
            "HOST",
            "an address such as 127.0.0.1 or ::, or a name",
            parse,
        )?;
        Ok(host.unwrap_or_else(|| "0.0.0.0".into()))
    }

    fn duration(&self, variable: &str, default: u64) -> Result<Duration, ConfigError> {
        let allowed = "a time from 1ms to 24h, such as 500ms, 15s, 2m or 1h";
        let limits = Duration::from_millis(1)..=MAX_DURATION;
        let parse = |text: &str| units::duration(text).filter(|time| limits.contains(time));
        Ok(self
            .parsed(variable, allowed, parse)?
            .unwrap_or(Duration::from_secs(default)))
    }

    fn size(&self, variable: &str, default: usize) -> Result<usize, ConfigError> {
        let allowed = "a size from 1B to 16GiB, such as 4096, 64KiB or 1MiB";
        let parse = |text: &str| units::size(text).filter(|size| (1..=MAX_SIZE).contains(size));
        Ok(self
            .parsed(variable, allowed, parse)?
            .map_or(default, |size| size as usize))
    }

    fn origins(&self) -> Result<Option<Origins>, ConfigError> {
        let (Some(list), Some(given)) = (
            self.text("BIFROST_ALLOWED_ORIGINS")?,
            self.given("BIFROST_ALLOWED_ORIGINS"),
        ) else {
            return Ok(None);
        };
        Origins::parse(list).map(Some).map_err(|entry| {
            ConfigError::Setting(format!(
                "{} has {entry:?}, which no page can match; use origins such as \
                 https://app.example.com or https://*.example.com, or leave it empty to allow any",
                given.name
            ))
        })
    }

    fn log_level(&self) -> Result<LevelFilter, ConfigError> {
        let parse = |text: &str| match text {
            "error" => Some(LevelFilter::Error),
            "warn" => Some(LevelFilter::Warn),
            "info" => Some(LevelFilter::Info),
            "debug" => Some(LevelFilter::Debug),
            _ => None,
        };
        let level = self.parsed("BIFROST_LOG", "error, warn, info or debug", parse)?;
        Ok(level.unwrap_or(LevelFilter::Info))
    }

    fn secret(&self) -> Result<Secret, ConfigError> {
        let (name, bytes) = match (self.given("JWT_SECRET"), self.given("JWT_SECRET_FILE")) {
            (Some(secret), None) => (&secret.name, secret.value.clone().into_vec()),
            (None, Some(file)) => (&file.name, read_secret(file)?),
            (None, None) => {
                return Err(ConfigError::Setting(
                    "JWT_SECRET is missing; set it, or JWT_SECRET_FILE, to the secret that your \
                     application signs with"
                        .into(),
                ));
            }
            (Some(_), Some(file)) => {
                return Err(ConfigError::Setting(format!(
                    "JWT_SECRET and {} are both set; keep one of them",
                    file.name
                )));
            }
        };
        if bytes.len() < MIN_SECRET {
            return Err(ConfigError::Setting(format!(
                "{name} has a secret of {} bytes; use at least {MIN_SECRET}, better {GOOD_SECRET}, \
                 for example from `openssl rand -hex 32`",
                bytes.len()
            )));
        }
        Ok(Secret::new(bytes))
    }
}

fn read_secret(given: &Given) -> Result<Vec<u8>, ConfigError> {
    let path = PathBuf::from(&given.value);
    let mut bytes = std::fs::read(&path).map_err(|error| {
        ConfigError::File(format!(
            "{} is {path:?}, which can't be read: {error}",
            given.name
        ))
    })?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn wrong(given: &Given, allowed: &str) -> ConfigError {
    let value = String::from_utf8_lossy(given.value.as_bytes());
    ConfigError::Setting(format!("{} is {value:?}; use {allowed}", given.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let mut all = vec![("JWT_SECRET", SECRET)];
        all.extend_from_slice(pairs);
        Config::from_variables(&variables(&all))
    }

    fn variables(pairs: &[(&'static str, &str)]) -> Variables {
        let given = |&(name, value): &(&'static str, &str)| {
            (
                name,
                Given {
                    name: name.into(),
                    value: value.into(),
                },
            )
        };
        pairs.iter().map(given).collect()
    }

    fn message(result: Result<Config, ConfigError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = config(&[]).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("0.0.0.0", 3000));
        assert_eq!((config.max_body, config.queue), (1_048_576, 1_048_576));
        assert_eq!(config.timeouts.ping_interval, Duration::from_secs(15));
        assert_eq!(config.timeouts.idle, Duration::from_secs(75));
        assert_eq!(
            (config.max_connections, config.log),
            (None, LevelFilter::Info)
        );
        assert_eq!(config.algorithm, Algorithm::HS512);
        assert!(config.allowed_origins.is_none());
    }

    #[test]
    fn a_wrong_value_is_named_with_its_cure() {
        let port = message(config(&[("PORT", "80a")]));
        assert_eq!(port, r#"PORT is "80a"; use a number from 0 to 65535"#);
        let log = message(config(&[("BIFROST_LOG", "loud")]));
        assert_eq!(
            log,
            r#"BIFROST_LOG is "loud"; use error, warn, info or debug"#
        );
        for (name, value) in [
            ("HOST", "not a host"),
            ("BIFROST_MAX_CONNECTIONS", "0"),
            ("BIFROST_QUEUE", "0"),
            ("BIFROST_MAX_BODY", "1MB"),
            ("BIFROST_PING_INTERVAL", "0"),
            ("BIFROST_IDLE_TIMEOUT", "25h"),
            ("JWT_ALGORITHM", "none"),
            ("BIFROST_ALLOWED_ORIGINS", "example.com"),
        ] {
            let message = message(config(&[(name, value)]));
            assert!(
                message.contains(name) && message.contains(value),
                "{message}"
            );
        }
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let config = config(&[("PORT", ""), ("JWT_SECRET_FILE", ""), ("BIFROST_LOG", "")]);
        assert_eq!(config.unwrap().port, 3000);
    }

    #[test]
    fn a_secret_is_needed_once_and_long_and_never_told() {
        let missing = Config::from_variables(&Variables::new())
            .unwrap_err()
            .to_string();
        assert!(missing.starts_with("JWT_SECRET is missing"));
        let short = message(config(&[("JWT_SECRET", "hush-hush-hush")]));
        assert!(
            short.contains("14 bytes") && !short.contains("hush"),
            "{short}"
        );
        let both = message(config(&[("JWT_SECRET_FILE", "/nowhere")]));
        assert!(both.contains("both"), "{both}");
    }

    #[test]
    fn a_secret_file_that_cannot_be_read_is_another_kind_of_error() {
        let variables = variables(&[("JWT_SECRET_FILE", "/nowhere/secret")]);
        let error = Config::from_variables(&variables).unwrap_err();
        assert!(matches!(error, ConfigError::File(_)), "{error}");
    }

    #[test]
    fn a_short_secret_draws_a_warning() {
        assert_eq!(config(&[]).unwrap().warnings().len(), 1);
        assert!(
            config(&[("JWT_SECRET", &SECRET.repeat(2))])
                .unwrap()
                .warnings()
                .is_empty()
        );
    }

    #[test]
    fn every_flag_is_its_variable_in_lower_case() {
        for setting in SETTINGS {
            let name = setting.variable.trim_start_matches("BIFROST_");
            let flag = name.to_lowercase().replace('_', "-");
            let expected = (setting.variable != "JWT_SECRET").then_some(flag.as_str());
            assert_eq!(setting.flag, expected);
        }
    }
}
