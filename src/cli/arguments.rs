//! The arguments of each command, for clap.

use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgGroup, Command, value_parser};
use clap_complete::Shell;

use super::manual;
use crate::config::{self, SETTINGS, Setting, URL};

/// Longest lifetime of a token, in days; beyond it there is `never`.
const MAX_LIFETIME: u64 = 36_500;

/// The server's settings that signing needs.
const KEYS: [&str; 2] = ["JWT_SECRET_FILE", "JWT_ALGORITHM"];

/// The flags of all settings of the server; secrets have none.
pub fn settings(command: Command) -> Command {
    command.args(SETTINGS.iter().filter_map(setting))
}

pub fn token_subscribe(command: Command) -> Command {
    let channels = names("CHANNEL", "Channels to subscribe to, at most 128");
    keys(command.arg(channels).arg(expires("1h")))
}

pub fn token_broadcast(command: Command) -> Command {
    keys(content(command).arg(expires("1m")))
}

pub fn token_publisher(command: Command) -> Command {
    let help = "Channels to send to: a name, or the beginning of names followed by *";
    keys(command.arg(names("PATTERN", help)).arg(expires("90d")))
}

pub fn token_inspect(command: Command) -> Command {
    let token = Arg::new("TOKEN")
        .default_value("-")
        .help("The token; - reads it from stdin");
    keys(command.arg(token)).args(settings_named(&["JWT_SECRET_PREVIOUS_FILE"]))
}

pub fn broadcast(command: Command) -> Command {
    let lines = flag("lines", "Send one message for each line on stdin, in order");
    keys(content(command).arg(lines).args(setting(&URL)))
}

pub fn listen(command: Command) -> Command {
    let file = Arg::new("token-file")
        .long("token-file")
        .value_name("PATH")
        .help("Use the token in this file, read again for each connection; - is stdin");
    let count = Arg::new("count")
        .long("count")
        .value_name("NUMBER")
        .value_parser(value_parser!(u64).range(1..))
        .help("End after this number of messages");
    let raw = flag(
        "raw",
        "Print messages byte for byte, with their line breaks",
    );
    let channels = names("CHANNEL", "Channels to listen to, at most 128").required(false);
    let credentials = ArgGroup::new("credentials").args(["CHANNEL", "token-file"]);
    keys(
        command
            .args([channels, file, count, raw])
            .group(credentials.required(true))
            .args(setting(&URL)),
    )
}

pub fn health(command: Command) -> Command {
    let live = flag(
        "live",
        "Ask /healthz: whether it serves at all, also when it is full or draining",
    );
    command.arg(live).args(setting(&URL))
}

pub fn completions(command: Command) -> Command {
    let shell = Arg::new("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell");
    command.arg(shell)
}

pub fn man(command: Command) -> Command {
    let page = Arg::new("PAGE")
        .value_parser(PossibleValuesParser::new(manual::names()))
        .help("A page of the manual [default: the page of the commands]");
    let list = flag("list", "Print the names of the manual's pages").conflicts_with("PAGE");
    command.args([page, list])
}

pub fn unit(command: Command) -> Command {
    let unit = Arg::new("UNIT")
        .value_parser(["service", "socket"])
        .help("Only this one [default: both, each under its name]");
    command.arg(unit)
}

fn keys(command: Command) -> Command {
    let keys = command.args(settings_named(&KEYS));
    keys.mut_arg("JWT_SECRET_FILE", |arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.help(help.replace("a file instead", "a file instead, or - for stdin"))
    })
}

/// The flags of these settings of the server.
fn settings_named(names: &[&str]) -> impl Iterator<Item = Arg> {
    let wanted = SETTINGS
        .iter()
        .filter(|setting| names.contains(&setting.variable));
    wanted.filter_map(setting)
}

/// A channel, and the message for it.
fn content(command: Command) -> Command {
    let channel = Arg::new("CHANNEL").required(true).help("The channel");
    let event = option("event", "NAME", "Name of the event");
    let data = option(
        "data",
        "TEXT",
        "Its data, sent as a string; - reads it from stdin",
    );
    let json = option(
        "json",
        "OBJECT",
        "The whole message, sent as it is; - reads it from stdin",
    );
    let message = ArgGroup::new("message").args(["event", "json"]);
    command
        .args([
            channel,
            event,
            data.requires("event"),
            json.conflicts_with("data"),
        ])
        .group(message.required(true))
}

/// The flag of a setting, unless it is a secret. Its value may be any bytes.
fn setting(setting: &Setting) -> Option<Arg> {
    let help = format!("{} [{}]", setting.help_line(), setting.variable);
    let arg = Arg::new(setting.variable)
        .long(setting.flag()?)
        .value_name(setting.value);
    Some(arg.value_parser(OsStringValueParser::new()).help(help))
}

fn names(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).num_args(1..).help(help)
}

/// An option whose value may begin with a dash.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    let option = Arg::new(name).long(name).value_name(value);
    option.allow_hyphen_values(true).help(help)
}

/// A flag without a value.
fn flag(name: &'static str, help: &'static str) -> Arg {
    let flag = Arg::new(name).long(name).help(help);
    flag.action(ArgAction::SetTrue)
}

fn expires(default: &'static str) -> Arg {
    Arg::new("expires")
        .long("expires")
        .value_name("TIME")
        .default_value(default)
        .value_parser(lifetime)
        .help("How long it is valid: 30s, 5m, 1h, 90d; or never")
}

/// Reads a lifetime; `None` is `never`.
fn lifetime(text: &str) -> Result<Option<Duration>, String> {
    if text == "never" {
        return Ok(None);
    }
    let limits = Duration::from_secs(1)..=Duration::from_secs(MAX_LIFETIME * 24 * 3600);
    let lifetime = config::lifetime(text).filter(|time| limits.contains(time));
    lifetime
        .map(Some)
        .ok_or_else(|| format!("use a time from 1s to {MAX_LIFETIME}d, such as 5m, or never"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_bounded() {
        assert_eq!(lifetime("never"), Ok(None));
        assert_eq!(lifetime("1"), Ok(Some(Duration::from_secs(1))));
        assert!(lifetime("36500d").is_ok());
        for text in ["", "0", "999ms", "36501d", "soon", "-1h", "Never"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
