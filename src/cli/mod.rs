//! The command line: one table of commands, and what was typed as an [`Action`].
//!
//! Nothing is done here. Completions and the man page come from the same table.

mod action;
mod arguments;
pub mod client;
pub mod commands;
mod help;
mod read;
mod variables;

use clap::{ArgMatches, Command};

pub use action::{
    Action, Broadcast, Content, Credentials, Form, Grant, Listen, Message, Probe, Right, Text,
    Times, Unit,
};
pub use variables::{origin, unknown, variables};

/// One command.
struct Entry {
    name: &'static str,
    about: &'static str,
    /// Examples and exit statuses.
    help: &'static str,
    /// Gives it its arguments.
    shape: fn(Command) -> Command,
    /// Reads what was typed.
    read: fn(&ArgMatches) -> Action,
}

/// Every command that there is, in the order of the help.
const COMMANDS: &[Entry] = &[
    Entry {
        name: "serve",
        about: "Serve broadcasts; what bifrost does when no command is given",
        help: help::SERVE,
        shape: arguments::settings,
        read: |_| Action::Serve,
    },
    Entry {
        name: "demo",
        about: "Serve a page to try it with, on 127.0.0.1, with a random secret",
        help: help::DEMO,
        shape: arguments::settings,
        read: |_| Action::Demo,
    },
    Entry {
        name: "token",
        about: "Print a signed token, or say what is wrong with one",
        help: help::TOKEN,
        shape: |command| with_entries(command, TOKEN_COMMANDS).subcommand_required(true),
        read: |matches| read(matches, TOKEN_COMMANDS).unwrap_or(Action::Serve),
    },
    Entry {
        name: "broadcast",
        about: "Sign a message and send it; prints the number of deliveries",
        help: help::BROADCAST,
        shape: arguments::broadcast,
        read: read::broadcast,
    },
    Entry {
        name: "listen",
        about: "Print what arrives on channels, one JSON line per message",
        help: help::LISTEN,
        shape: arguments::listen,
        read: read::listen,
    },
    Entry {
        name: "secret",
        about: "Print a new random secret",
        help: help::SECRET,
        shape: |command| command,
        read: |_| Action::Secret,
    },
    Entry {
        name: "check",
        about: "Check the settings as serve would, and say what each came out as",
        help: help::CHECK,
        shape: arguments::settings,
        read: |_| Action::Check,
    },
    Entry {
        name: "health",
        about: "Ask a server whether it is ready; for scripts and container health checks",
        help: help::HEALTH,
        shape: arguments::health,
        read: read::health,
    },
    Entry {
        name: "completions",
        about: "Print what makes a shell complete these commands",
        help: help::COMPLETIONS,
        shape: arguments::completions,
        read: read::completions,
    },
    Entry {
        name: "man",
        about: "Print the man page",
        help: help::MAN,
        shape: |command| command,
        read: |_| Action::Man,
    },
    Entry {
        name: "unit",
        about: "Print the unit files for systemd",
        help: help::UNIT,
        shape: arguments::unit,
        read: read::unit,
    },
];

/// What `bifrost token` can do.
const TOKEN_COMMANDS: &[Entry] = &[
    Entry {
        name: "subscribe",
        about: "A token for a browser: it may listen to these channels",
        help: help::TOKEN_SUBSCRIBE,
        shape: arguments::token_subscribe,
        read: read::token_subscribe,
    },
    Entry {
        name: "broadcast",
        about: "A token that is one message, ready to be posted to /broadcast",
        help: help::TOKEN_BROADCAST,
        shape: arguments::token_broadcast,
        read: read::token_broadcast,
    },
    Entry {
        name: "publisher",
        about: "A token for a script: it may broadcast to channels that match",
        help: help::TOKEN_PUBLISHER,
        shape: arguments::token_publisher,
        read: read::token_publisher,
    },
    Entry {
        name: "inspect",
        about: "Say what is in a token, and why a server would refuse it",
        help: help::TOKEN_INSPECT,
        shape: arguments::token_inspect,
        read: read::token_inspect,
    },
];

/// What was typed: what to do, and the flags that are settings.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// For [`variables()`].
    pub matches: ArgMatches,
}

/// Reads the command line.
///
/// # Errors
/// What is to be printed instead of doing anything: help, version, or what is wrong.
pub fn parse() -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches()?;
    let action = read(&matches, COMMANDS).unwrap_or(Action::Serve);
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.remove_subcommand() {
        innermost = inner;
    }
    Ok(Invocation {
        action,
        matches: innermost,
    })
}

/// The whole command line, for clap.
pub fn command() -> Command {
    let bifrost = Command::new("bifrost")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Realtime broadcasts to browsers: POST a signed message, every subscriber gets it")
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .after_help(help::BIFROST);
    with_entries(arguments::settings(bifrost), COMMANDS)
}

fn with_entries(command: Command, entries: &[Entry]) -> Command {
    command.subcommands(entries.iter().map(|entry| {
        let command = Command::new(entry.name)
            .about(entry.about)
            .disable_help_subcommand(true)
            .after_help(entry.help);
        (entry.shape)(command)
    }))
}

/// What the command asks for that was typed, if one was.
fn read(matches: &ArgMatches, entries: &[Entry]) -> Option<Action> {
    let (name, matches) = matches.subcommand()?;
    let entry = entries.iter().find(|entry| entry.name == name)?;
    Some((entry.read)(matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(command: &Command) -> Vec<&Command> {
        let inner = command.get_subcommands().flat_map(all);
        std::iter::once(command).chain(inner).collect()
    }

    #[test]
    fn the_table_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_exit_statuses() {
        for command in all(&command()) {
            let help = command.get_after_help().unwrap().to_string();
            let name = command.get_name();
            assert!(
                help.contains("\nExamples:\n") || help.starts_with("Examples:\n"),
                "{name}"
            );
            assert!(help.contains("\nExit status: "), "{name}");
            assert!(help.lines().all(|line| line.len() <= 100), "{name}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret() {
        for command in all(&command()) {
            for flag in command.get_arguments().filter_map(|arg| arg.get_long()) {
                assert!(!flag.ends_with("secret") && flag != "token", "--{flag}");
            }
        }
    }
}
