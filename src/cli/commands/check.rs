//! `bifrost check`: what `serve` would make of the settings, without serving.

use std::os::unix::fs::MetadataExt;

use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::variables;
use crate::config::{Config, ConfigError, Given, SETTINGS, Setting, Variables};
use crate::net::connections;
use crate::net::listener::Listener;

/// The permission to read for users other than the file's owner and group (chmod(2)).
const READABLE_BY_OTHERS: u32 = 0o004;

/// Prints each setting with its value and its source, then the warnings.
///
/// # Errors
/// As for `serve`: the first setting that is wrong. The errors of the others are printed before.
pub fn run(variables: &Variables) -> Result<Status, CommandError> {
    let config =
        Config::from_variables(variables).map_err(|first| with_all_errors(variables, first))?;
    let config = config.with_unknown(variables::unknown()?);
    config.check_listeners(variables)?;
    let table: String = SETTINGS
        .iter()
        .filter_map(|setting| row(setting, variables, &config))
        .collect();
    output::print(&table)?;
    for warning in warnings(variables, &config) {
        output::note(&format!("warning: {warning}"));
    }
    bind(&config)?;
    Ok(Status::Good)
}

/// Binds both listeners for a moment, on a free port: the configured one may be in use by the
/// running server, and any port shows whether the address is one of this machine.
fn bind(config: &Config) -> Result<(), CommandError> {
    let what = format!("can't listen on HOST {:?}", config.host);
    Listener::bind(&config.host, 0).map_err(CommandError::system(what))?;
    if let Some(mut address) = config.metrics_addr {
        let what = format!("can't listen on BIFROST_METRICS_ADDR {address}");
        address.set_port(0);
        Listener::bind_to(address).map_err(CommandError::system(what))?;
    }
    Ok(())
}

/// Prints every error but the first, which the caller prints.
fn with_all_errors(variables: &Variables, first: ConfigError) -> CommandError {
    let errors = Config::errors(variables).into_iter();
    for error in errors.filter(|error| *error != first) {
        output::note(&error.to_string());
    }
    first.into()
}

/// One line of the table. A secret's variable and its file's share one value: the one that is
/// not given has no line.
fn row(setting: &Setting, variables: &Variables, config: &Config) -> Option<String> {
    let given = variables.get(setting.variable);
    if setting.is_secret() && given.is_none() {
        return None;
    }
    let value = setting.value_in(config);
    let origin = given.map_or("default", variables::origin);
    let variable = setting.variable;
    Some(format!("{variable:<30} {value:<28} {origin}\n"))
}

/// The warnings of the server, and those about this machine that only this command gives.
fn warnings(variables: &Variables, config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    let possible = connections::possible();
    let is_over = |wanted: &usize| *wanted > possible.connections;
    if let Some(wanted) = config.max_connections.filter(is_over) {
        let (allowed, limit) = (possible.connections, possible.limit);
        warnings.push(format!(
            "BIFROST_MAX_CONNECTIONS is {wanted}, over the {allowed} that {limit} allows here"
        ));
    }
    let files = SETTINGS.iter().filter(|setting| setting.is_secret_file());
    let given = files.filter_map(|setting| variables.get(setting.variable));
    warnings.extend(given.filter_map(readable_by_others));
    warnings
}

/// A warning where everybody on this machine may read the file of a secret.
fn readable_by_others(given: &Given) -> Option<String> {
    let path = &given.value;
    let mode = std::fs::metadata(path).ok()?.mode();
    let is_readable = mode & READABLE_BY_OTHERS != 0;
    is_readable.then(|| {
        format!(
            "everybody may read {}; use chmod 600",
            path.to_string_lossy()
        )
    })
}
