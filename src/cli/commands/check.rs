//! `bifrost check`: what `serve` would make of the settings, without serving.

use std::os::unix::fs::MetadataExt;

use super::input::of_server;
use super::{CommandError, Status, output};
use crate::cli;
use crate::config::{Config, ConfigError, Given, Keys, SETTINGS, Setting, Variables};
use crate::net::connections;
use crate::net::listener::Listener;

/// What the names of the settings that hold or lead to a secret begin with.
const SECRET: &str = "JWT_SECRET";
/// Readable by others than its owner and group (chmod(2)).
const FOR_OTHERS: u32 = 0o004;

/// Prints each setting with what it came out as and where it comes from, then what is not
/// good about them.
///
/// # Errors
/// Like `serve`: the last of the settings that are wrong, after the others were noted.
pub fn run(variables: &Variables) -> Result<Status, CommandError> {
    let config = Config::from_variables(variables).map_err(|first| all_faults(variables, first))?;
    let config = config.with_unknown(cli::unknown()?);
    config.check_listeners(variables)?;
    let table: String = SETTINGS
        .iter()
        .filter_map(|setting| row(setting, variables, &config))
        .collect();
    output::print(&table)?;
    for warning in warnings(variables, &config) {
        output::note(&format!("warning: {warning}"));
    }
    // The port may be the running server's; whether the address is this machine's is seen
    // with any port.
    let what = format!("can't listen on HOST {:?}", config.host);
    Listener::bind(&config.host, 0).map_err(CommandError::system(what))?;
    if let Some(mut address) = config.metrics_addr {
        let what = format!("can't listen on BIFROST_METRICS_ADDR {address}");
        address.set_port(0);
        Listener::bind_to(address).map_err(CommandError::system(what))?;
    }
    Ok(Status::Good)
}

/// Notes what is wrong but for one, which is for the caller to tell. Settings are read one
/// by one, so that each is looked at.
fn all_faults(variables: &Variables, first: ConfigError) -> CommandError {
    let names = SETTINGS.iter().map(|setting| setting.variable);
    let of_others = names
        .filter(|name| !name.starts_with(SECRET))
        .filter_map(|name| of_server(variables, &[name]).err());
    let of_secret = Keys::from_variables(variables).err();
    let of_previous = Keys::previous(variables).err();
    let faults = of_others.chain(of_secret).chain(of_previous);
    for fault in faults.filter(|fault| *fault != first) {
        output::note(&fault.to_string());
    }
    first.into()
}

/// One line of the table; none for the way to give the secret that was not taken.
fn row(setting: &Setting, variables: &Variables, config: &Config) -> Option<String> {
    let given = variables.get(setting.variable);
    let is_secret = setting.variable.starts_with(SECRET);
    if is_secret && given.is_none() {
        return None;
    }
    let value = match (config.value_of(setting.variable), given) {
        (Some(value), _) => value,
        (None, Some(_)) if is_secret || setting.flag.is_none() => "given".into(),
        (None, Some(given)) => given.value.to_string_lossy().into_owned(),
        (None, None) => "-".into(),
    };
    let origin = given.map_or("default", cli::origin);
    let variable = setting.variable;
    Some(format!("{variable:<30} {value:<28} {origin}\n"))
}

/// What the server would warn about, and what it can't see.
fn warnings(variables: &Variables, config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    let possible = connections::limit(None);
    if let Some(wanted) = config.max_connections.filter(|&wanted| wanted > possible) {
        warnings.push(format!(
            "BIFROST_MAX_CONNECTIONS is {wanted}, over the {possible} that the file limit allows here"
        ));
    }
    let files = ["JWT_SECRET_FILE", "JWT_SECRET_PREVIOUS_FILE"];
    warnings.extend(
        files
            .iter()
            .filter_map(|file| open_file(variables.get(file)?)),
    );
    warnings
}

/// A secret's file, if it is for everybody to read.
fn open_file(given: &Given) -> Option<String> {
    let path = &given.value;
    let mode = std::fs::metadata(path).ok()?.mode();
    let is_open = mode & FOR_OTHERS != 0;
    is_open.then(|| {
        format!(
            "everybody may read {}; use chmod 600",
            path.to_string_lossy()
        )
    })
}
