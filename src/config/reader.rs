//! Reads one setting out of the variables that were given, and words what is wrong with it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::units;
use crate::config::variables::{Given, Variables};

/// A longer time limit is refused: a day is as good as no limit.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
/// A larger size is refused, in bytes.
const MAX_SIZE: u64 = 16 << 30;
/// A larger number of connections is refused.
const MAX_COUNT: usize = 1_000_000;

/// What a duration may be, in error messages and the manual.
pub const DURATION: &str = "a time from 1ms to 24h, such as 500ms, 15s, 2m or 1h";
/// What a size may be, in error messages and the manual.
pub const SIZE: &str = "a size from 1B to 16GiB, such as 4096, 64KiB or 1MiB";
/// What a number of connections may be, in error messages and the manual.
pub const COUNT: &str = "a number from 1 to 1000000";

/// Reads one setting. An empty value counts as not given.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    variable: &'static str,
    default: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads `variable`, or parses `default` where it is not given.
    pub fn new(
        variables: &'a Variables,
        variable: &'static str,
        default: Option<&'static str>,
    ) -> Reader<'a> {
        Reader {
            variables,
            variable,
            default,
        }
    }

    /// The name by which the setting was given, or the variable's if it was not.
    pub fn name(&self) -> &'a str {
        self.given()
            .map_or(self.variable, |given| given.name.as_str())
    }

    /// The text that was given, or the default's.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<Option<&'a str>, ConfigError> {
        let Some(given) = self.given() else {
            return Ok(self.default);
        };
        let text = given.value.to_str().map(str::trim);
        text.map(Some).ok_or_else(|| self.wrong("UTF-8 text"))
    }

    /// The parsed value, or nothing where the setting is not given and has no default value.
    ///
    /// # Errors
    /// When `parse` refuses the text; the message says to use what is `allowed`.
    pub fn optional<T>(
        &self,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        parse(text).map(Some).ok_or_else(|| self.wrong(allowed))
    }

    /// The parsed value of a setting that has a default value.
    ///
    /// # Errors
    /// As [`Reader::optional`].
    pub fn value<T>(
        &self,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let value = self.optional(allowed, parse)?;
        value.ok_or_else(|| {
            ConfigError::Setting(format!("{} is missing; use {allowed}", self.variable))
        })
    }

    /// A time limit.
    ///
    /// # Errors
    /// As [`Reader::optional`].
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        let limits = Duration::from_millis(1)..=MAX_DURATION;
        let parse = |text: &str| units::duration(text).filter(|time| limits.contains(time));
        self.value(DURATION, parse)
    }

    /// A size in bytes.
    ///
    /// # Errors
    /// As [`Reader::optional`].
    pub fn size(&self) -> Result<usize, ConfigError> {
        self.value(SIZE, parse_size)
    }

    /// A size in bytes, or nothing where it is not given.
    ///
    /// # Errors
    /// As [`Reader::optional`].
    pub fn optional_size(&self) -> Result<Option<usize>, ConfigError> {
        self.optional(SIZE, parse_size)
    }

    /// A number of connections, or nothing where it is not given.
    ///
    /// # Errors
    /// As [`Reader::optional`].
    pub fn optional_count(&self) -> Result<Option<usize>, ConfigError> {
        self.optional(COUNT, |text| {
            let count = text.parse().ok();
            count.filter(|count| (1..=MAX_COUNT).contains(count))
        })
    }

    /// The bytes of a secret, and the name by which it was given: the variable, or the variable
    /// with `_FILE` appended, which names a file. One line break at the file's end is dropped.
    ///
    /// # Errors
    /// When both are given, or the file can't be read.
    pub fn secret_bytes(&self) -> Result<Option<(&'a str, Vec<u8>)>, ConfigError> {
        let file = self.given_as(&format!("{}_FILE", self.variable));
        match (self.given(), file) {
            (Some(secret), None) => Ok(Some((&secret.name, secret.value.clone().into_vec()))),
            (None, Some(file)) => Ok(Some((&file.name, read_secret(file)?))),
            (None, None) => Ok(None),
            (Some(_), Some(file)) => Err(ConfigError::Setting(format!(
                "{} and {} are both set; keep one of them",
                self.variable, file.name
            ))),
        }
    }

    /// The error for a value that is not what is `allowed`.
    pub fn wrong(&self, allowed: &str) -> ConfigError {
        let default = self.default.unwrap_or_default().as_bytes();
        let bytes = self.given().map_or(default, |given| given.value.as_bytes());
        let value = String::from_utf8_lossy(bytes);
        ConfigError::Setting(format!("{} is {value:?}; use {allowed}", self.name()))
    }

    fn given(&self) -> Option<&'a Given> {
        self.given_as(self.variable)
    }

    fn given_as(&self, variable: &str) -> Option<&'a Given> {
        let given = self.variables.get(variable);
        given.filter(|given| !given.value.is_empty())
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let size = units::size(text).filter(|size| (1..=MAX_SIZE).contains(size));
    size.map(|size| size as usize)
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
