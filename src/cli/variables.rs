//! Where the settings come from: a flag wins over the environment, and that over a `.env`
//! file in the working directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};

use clap::ArgMatches;

use crate::config::{ConfigError, Given, SETTINGS, Setting, URL, Variables};

const ENV_FILE: &str = ".env";
/// Some editors write this at the start of a file (Unicode 16.0 §23.8).
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Follows the name of a setting from that file in messages.
const ENV_FILE_SUFFIX: &str = " (in .env)";
/// The origin of a value that was given as a flag.
const FLAG: &str = "flag";
/// The beginning of the names that are reserved for settings.
const PREFIX: &str = "BIFROST_";

/// Collects the value of each setting: the flag's, else the environment's, else the file's.
///
/// # Errors
/// When there is a `.env` file that can't be read.
pub fn variables(matches: &ArgMatches) -> Result<Variables, ConfigError> {
    let file = read_env_file()?;
    let given = |setting: &'static Setting| {
        from_flag(setting, matches)
            .or_else(|| from_environment(setting))
            .or_else(|| from_file(setting, &file))
            .map(|given| (setting.variable, given))
    };
    let all: Variables = SETTINGS.iter().chain([&URL]).filter_map(given).collect();
    Ok(without_overruled_secrets(all))
}

/// Drops a secret whose file is given as a flag: a flag wins, and the secret itself has none.
fn without_overruled_secrets(mut all: Variables) -> Variables {
    for secret in ["JWT_SECRET", "JWT_SECRET_PREVIOUS"] {
        let file = all.get(format!("{secret}_FILE").as_str());
        if file.is_some_and(|file| origin(file) == FLAG) {
            all.remove(secret);
        }
    }
    all
}

fn from_flag(setting: &Setting, matches: &ArgMatches) -> Option<Given> {
    let name = format!("--{}", setting.flag()?);
    // Most commands lack most flags, which is an error to clap and none here.
    let value = matches.try_get_one::<OsString>(setting.variable).ok()??;
    given(name, value.clone())
}

fn from_environment(setting: &Setting) -> Option<Given> {
    given(setting.variable.into(), std::env::var_os(setting.variable)?)
}

fn from_file(setting: &Setting, file: &HashMap<String, String>) -> Option<Given> {
    given(
        format!("{}{ENV_FILE_SUFFIX}", setting.variable),
        file.get(setting.variable)?.into(),
    )
}

/// A value, unless it is empty: then the next source is asked.
fn given(name: String, value: OsString) -> Option<Given> {
    (!value.is_empty()).then_some(Given { name, value })
}

/// Where a value comes from, in a word; its name shows it.
pub fn origin(given: &Given) -> &'static str {
    match given.name.as_str() {
        name if name.starts_with("--") => FLAG,
        name if name.ends_with(ENV_FILE_SUFFIX) => ENV_FILE,
        _ => "environment",
    }
}

/// Names that begin like a setting, but are none: misspelled ones, as a rule.
///
/// # Errors
/// When there is a `.env` file that can't be read.
pub fn unknown() -> Result<Vec<String>, ConfigError> {
    let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_unknown = |name: &String| {
        let mut known = SETTINGS.iter().chain([&URL]);
        name.starts_with(PREFIX) && !known.any(|setting| setting.variable == name)
    };
    let mut names: Vec<_> = environment
        .chain(read_env_file()?.into_keys())
        .filter(is_unknown)
        .collect();
    names.sort();
    names.dedup();
    // Kubernetes sets these in every container next to a service named bifrost.
    let is_linked = |name: &str| {
        let ours = name.strip_prefix(PREFIX).unwrap_or(name);
        ours.starts_with("SERVICE_") || ours == "PORT" || ours.starts_with("PORT_")
    };
    if names.iter().any(|name| name == "BIFROST_SERVICE_HOST") {
        names.retain(|name| !is_linked(name));
    }
    Ok(names)
}

fn read_env_file() -> Result<HashMap<String, String>, ConfigError> {
    let bytes = match std::fs::read(ENV_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(failed(&error)),
    };
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mut read = HashMap::new();
    let mut last = None;
    for line in dotenvy::from_read_iter(text) {
        let (name, value) = line.map_err(|error| unreadable(&error, last.as_deref()))?;
        last = Some(name.clone());
        read.insert(name, value);
    }
    Ok(read)
}

fn failed(error: &io::Error) -> ConfigError {
    ConfigError::File(format!("{ENV_FILE} can't be read: {error}"))
}

/// The error for a line that can't be read. It says where the line is, but not what is in it,
/// which may be the secret.
fn unreadable(error: &dotenvy::Error, last: Option<&str>) -> ConfigError {
    if let dotenvy::Error::Io(error) = error {
        return failed(error);
    }
    let place = last.map_or_else(String::new, |name| format!(" after that of {name}"));
    ConfigError::Setting(format!(
        "{ENV_FILE} has a line{place} that is not NAME=value; put a value with spaces between \
         single quotes"
    ))
}
