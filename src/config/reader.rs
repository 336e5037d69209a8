//! Reads single settings out of the variables, and words what is wrong with them.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::auth::Secret;
use crate::config::error::ConfigError;
use crate::config::variables::{Given, Variables};
use crate::config::{listen_address, units};
use crate::http::origin::Origins;
use crate::net::networks::Networks;

/// Shorter secrets are refused, in bytes: HMAC keys should be as long as the shortest
/// hash that we offer (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;
/// No time limit may be longer; what wants more wants none.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
/// No size may be larger, in bytes.
const MAX_SIZE: u64 = 16 << 30;
/// No number of connections may be larger.
const MAX_COUNT: usize = 1_000_000;
/// Shorter secrets draw a warning, in bytes: as long as the longest hash.
pub const GOOD_SECRET: usize = 64;

/// Reads single settings out of the variables.
pub struct Reader<'a>(pub &'a Variables);

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

    pub fn parsed<T>(
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

    pub fn one_of<T: std::str::FromStr>(
        &self,
        variable: &str,
        default: T,
        allowed: &str,
    ) -> Result<T, ConfigError> {
        Ok(self
            .parsed(variable, allowed, |text| text.parse().ok())?
            .unwrap_or(default))
    }

    pub fn host(&self) -> Result<String, ConfigError> {
        let (Some(host), Some(given)) = (self.text("HOST")?, self.given("HOST")) else {
            return Ok("0.0.0.0".into());
        };
        match () {
            () if listen_address::is_host(host) => Ok(host.to_owned()),
            () if listen_address::has_port(host) => Err(ConfigError::Setting(format!(
                "{} is {host:?}, which has a port in it; give that as PORT",
                given.name
            ))),
            () => Err(wrong(
                given,
                "an address such as 127.0.0.1 or ::, or a name",
            )),
        }
    }

    /// The name by which a setting was given; that of the variable if it was not.
    pub fn name(&self, variable: &'static str) -> &'a str {
        self.given(variable).map_or(variable, |given| &given.name)
    }

    pub fn duration(&self, variable: &str, default: u64) -> Result<Duration, ConfigError> {
        let allowed = "a time from 1ms to 24h, such as 500ms, 15s, 2m or 1h";
        let limits = Duration::from_millis(1)..=MAX_DURATION;
        let parse = |text: &str| units::duration(text).filter(|time| limits.contains(time));
        Ok(self
            .parsed(variable, allowed, parse)?
            .unwrap_or(Duration::from_secs(default)))
    }

    pub fn size(&self, variable: &str, default: usize) -> Result<usize, ConfigError> {
        let allowed = "a size from 1B to 16GiB, such as 4096, 64KiB or 1MiB";
        let parse = |text: &str| units::size(text).filter(|size| (1..=MAX_SIZE).contains(size));
        Ok(self
            .parsed(variable, allowed, parse)?
            .map_or(default, |size| size as usize))
    }

    pub fn count(&self, variable: &str) -> Result<Option<usize>, ConfigError> {
        self.parsed(variable, "a number from 1 to 1000000", |text| {
            let count = text.parse().ok();
            count.filter(|count| (1..=MAX_COUNT).contains(count))
        })
    }

    pub fn trusted_proxies(&self) -> Result<Networks, ConfigError> {
        let variable = "BIFROST_TRUSTED_PROXIES";
        let (Some(list), Some(given)) = (self.text(variable)?, self.given(variable)) else {
            return Ok(Networks::default());
        };
        Networks::parse(list).map_err(|entry| {
            ConfigError::Setting(format!(
                "{} has {entry:?}; use addresses and networks such as 127.0.0.1, 10.0.0.0/8",
                given.name
            ))
        })
    }

    pub fn origins(&self) -> Result<Option<Origins>, ConfigError> {
        let (Some(list), Some(given)) = (
            self.text("BIFROST_ALLOWED_ORIGINS")?,
            self.given("BIFROST_ALLOWED_ORIGINS"),
        ) else {
            return Ok(None);
        };
        let name = &given.name;
        match Origins::parse(list) {
            Ok(origins) if !origins.is_empty() => Ok(Some(origins)),
            Ok(_) if list.is_empty() => Ok(None),
            // Whoever wrote commas meant some, and any would be too many.
            Ok(_) => Err(ConfigError::Setting(format!(
                "{name} is {list:?}, which has no origin in it; leave it empty to allow any"
            ))),
            Err(dud) => Err(ConfigError::Setting(format!("{name} has {dud}"))),
        }
    }

    pub fn log_level(&self) -> Result<LevelFilter, ConfigError> {
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

    pub fn secret(&self) -> Result<Secret, ConfigError> {
        let Some((name, bytes)) = self.secret_bytes("JWT_SECRET", "JWT_SECRET_FILE")? else {
            return Err(ConfigError::Setting(
                "JWT_SECRET is missing; set it, or JWT_SECRET_FILE, to the secret that your \
                 application signs with"
                    .into(),
            ));
        };
        long_enough(name, bytes)
    }

    /// Emptying the file of the previous secret ends a rotation, so that is none.
    pub fn previous_secret(&self) -> Result<Option<Secret>, ConfigError> {
        match self.secret_bytes("JWT_SECRET_PREVIOUS", "JWT_SECRET_PREVIOUS_FILE")? {
            Some((name, bytes)) if !bytes.is_empty() => long_enough(name, bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// A secret that is given itself or in a file, and the name by which it is.
    fn secret_bytes(
        &self,
        variable: &str,
        file: &str,
    ) -> Result<Option<(&'a str, Vec<u8>)>, ConfigError> {
        match (self.given(variable), self.given(file)) {
            (Some(secret), None) => Ok(Some((&secret.name, secret.value.clone().into_vec()))),
            (None, Some(file)) => Ok(Some((&file.name, read_secret(file)?))),
            (None, None) => Ok(None),
            (Some(_), Some(file)) => Err(ConfigError::Setting(format!(
                "{variable} and {} are both set; keep one of them",
                file.name
            ))),
        }
    }
}

fn long_enough(name: &str, bytes: Vec<u8>) -> Result<Secret, ConfigError> {
    match bytes.len() {
        MIN_SECRET.. => Ok(Secret::new(bytes)),
        size => Err(ConfigError::Setting(format!(
            "{name} has a secret of {size} bytes; use at least {MIN_SECRET}, better {GOOD_SECRET}, \
             for example from `openssl rand -hex 32`"
        ))),
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
