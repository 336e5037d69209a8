//! The command line: what it may say, and where settings come from.
//!
//! A flag wins over the environment, and that over a `.env` file in the working directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgMatches, Command};

use crate::config::{ConfigError, Given, SETTINGS, Setting, Variables};

const ENV_FILE: &str = ".env";

const AFTER_HELP: &str = "\
Every setting is also an environment variable, named in brackets; a flag wins over the
environment, and that over a .env file in the working directory. The secret is never a
flag: set JWT_SECRET, or JWT_SECRET_FILE, to what your application signs with.
Times are written 500ms, 15s, 2m or 1h; sizes 4096, 64KiB or 1MiB.

Examples:
  bifrost demo                                   Try it, with no configuration
  JWT_SECRET=$(openssl rand -hex 32) bifrost     Serve on port 3000
  bifrost --port 8080 --jwt-secret-file secret   The same with flags

Exit status: 0 after SIGTERM or SIGINT, 1 when it can't listen or read a file, 2 when a
setting is wrong.";

const AFTER_UNIT_HELP: &str = "\
The service takes the secret from /etc/bifrost/secret and settings from
/etc/bifrost/bifrost.env; the socket holds the port, so that a restart refuses nobody.

Examples:
  bifrost unit service > /etc/systemd/system/bifrost.service
  bifrost unit socket > /etc/systemd/system/bifrost.socket

Exit status: 0, or 1 when stdout can't be written.";

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Serve.
    Serve,
    /// Serve the demonstration.
    Demo,
    /// Print unit files.
    Unit(Unit),
}

/// Which unit files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The one that runs the server.
    Service,
    /// The one that holds its port.
    Socket,
    /// Each under its name.
    Both,
}

/// Reads the command line; prints help, version or an error and ends the program where
/// clap would.
pub fn parse() -> (Action, ArgMatches) {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("demo", demo)) => (Action::Demo, demo.clone()),
        Some(("unit", unit)) => (Action::Unit(which_unit(unit)), unit.clone()),
        Some((_, serve)) => (Action::Serve, serve.clone()),
        None => (Action::Serve, matches),
    }
}

fn command() -> Command {
    let serve = Command::new("serve")
        .about("Serve broadcasts; what bifrost does when no command is given")
        .args(settings())
        .after_help(AFTER_HELP);
    let demo = Command::new("demo")
        .about("Serve a page to try it with, on 127.0.0.1, with a random secret")
        .args(settings())
        .after_help(AFTER_HELP);
    let unit = Command::new("unit")
        .about("Print the unit files for systemd")
        .arg(
            Arg::new("unit")
                .value_parser(["service", "socket"])
                .help("Only this one [default: both, each under its name]"),
        )
        .after_help(AFTER_UNIT_HELP);
    Command::new("bifrost")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Realtime broadcasts to browsers: POST a signed message, every subscriber gets it")
        .args(settings())
        .subcommands([serve, demo, unit])
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .after_help(AFTER_HELP)
}

fn which_unit(matches: &ArgMatches) -> Unit {
    match matches.get_one::<String>("unit").map(String::as_str) {
        Some("service") => Unit::Service,
        Some(_) => Unit::Socket,
        None => Unit::Both,
    }
}

fn settings() -> impl Iterator<Item = Arg> {
    SETTINGS.iter().filter_map(|setting| {
        let help = format!("{} [{}]", setting.help, setting.variable);
        let arg = Arg::new(setting.variable)
            .long(setting.flag?)
            .value_name(setting.value);
        Some(arg.value_parser(OsStringValueParser::new()).help(help))
    })
}

/// Collects what was given for each setting, from where it counts most.
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
    Ok(SETTINGS.iter().filter_map(given).collect())
}

fn from_flag(setting: &Setting, matches: &ArgMatches) -> Option<Given> {
    let name = format!("--{}", setting.flag?);
    given(name, matches.get_one::<OsString>(setting.variable)?.clone())
}

fn from_environment(setting: &Setting) -> Option<Given> {
    given(setting.variable.into(), std::env::var_os(setting.variable)?)
}

fn from_file(setting: &Setting, file: &HashMap<String, String>) -> Option<Given> {
    given(
        format!("{} (in {ENV_FILE})", setting.variable),
        file.get(setting.variable)?.into(),
    )
}

/// An empty value is as good as none, so that what counts less is looked at.
fn given(name: String, value: OsString) -> Option<Given> {
    (!value.is_empty()).then_some(Given { name, value })
}

fn read_env_file() -> Result<HashMap<String, String>, ConfigError> {
    let lines = match dotenvy::from_path_iter(ENV_FILE) {
        Ok(lines) => lines,
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {
            return Ok(HashMap::new());
        }
        Err(_) => return Err(ConfigError::File(format!("{ENV_FILE} can't be read"))),
    };
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| match error {
            dotenvy::Error::Io(error) => {
                ConfigError::File(format!("{ENV_FILE} can't be read: {error}"))
            }
            // The line itself is not shown: it may hold the secret.
            _ => ConfigError::Setting(format!("{ENV_FILE} has a line that is not NAME=value")),
        })
}
