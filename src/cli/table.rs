//! The table of commands, from which come the command line, its help, the completions and the
//! man page; and the reading of what was typed.

use clap::{ArgMatches, Command};

use super::action::Action;
use super::{arguments, help, read};

/// One command.
struct Entry {
    name: &'static str,
    about: &'static str,
    /// The text below its help: examples and exit statuses.
    help: &'static str,
    /// Adds its arguments.
    arguments: fn(Command) -> Command,
    /// Reads the arguments that were typed.
    read: fn(&ArgMatches) -> Action,
}

/// Every command, in the order of the help.
const COMMANDS: &[Entry] = &[
    Entry {
        name: "serve",
        about: "Serve broadcasts; what bifrost does when no command is given",
        help: help::SERVE,
        arguments: arguments::settings,
        read: |_| Action::Serve,
    },
    Entry {
        name: "demo",
        about: "Serve with a page to try it, on 127.0.0.1, with a random secret",
        help: help::DEMO,
        arguments: arguments::settings,
        read: |_| Action::Demo,
    },
    Entry {
        name: "token",
        about: "Print a signed token, or what is wrong with one",
        help: help::TOKEN,
        arguments: |command| with_entries(command, TOKEN_COMMANDS).subcommand_required(true),
        read: |matches| action(matches, TOKEN_COMMANDS).unwrap_or(Action::Serve),
    },
    Entry {
        name: "broadcast",
        about: "Sign a message and send it; prints the number of deliveries",
        help: help::BROADCAST,
        arguments: arguments::broadcast,
        read: read::broadcast,
    },
    Entry {
        name: "listen",
        about: "Print the messages of channels, one JSON line each",
        help: help::LISTEN,
        arguments: arguments::listen,
        read: read::listen,
    },
    Entry {
        name: "secret",
        about: "Print a new random secret",
        help: help::SECRET,
        arguments: |command| command,
        read: |_| Action::Secret,
    },
    Entry {
        name: "check",
        about: "Check the settings as serve would, and print the value of each",
        help: help::CHECK,
        arguments: arguments::settings,
        read: |_| Action::Check,
    },
    Entry {
        name: "health",
        about: "Ask a server whether it is ready; for scripts and container health checks",
        help: help::HEALTH,
        arguments: arguments::health,
        read: read::health,
    },
    Entry {
        name: "completions",
        about: "Print the completions of these commands for a shell",
        help: help::COMPLETIONS,
        arguments: arguments::completions,
        read: read::completions,
    },
    Entry {
        name: "man",
        about: "Print the man page, or a page of the manual",
        help: help::MAN,
        arguments: arguments::man,
        read: read::man,
    },
    Entry {
        name: "unit",
        about: "Print the unit files for systemd",
        help: help::UNIT,
        arguments: arguments::unit,
        read: read::unit,
    },
];

/// The commands of `bifrost token`.
const TOKEN_COMMANDS: &[Entry] = &[
    Entry {
        name: "subscribe",
        about: "A token for a browser, to subscribe to these channels",
        help: help::TOKEN_SUBSCRIBE,
        arguments: arguments::token_subscribe,
        read: read::token_subscribe,
    },
    Entry {
        name: "broadcast",
        about: "A token that is one message, to be posted to /broadcast",
        help: help::TOKEN_BROADCAST,
        arguments: arguments::token_broadcast,
        read: read::token_broadcast,
    },
    Entry {
        name: "publisher",
        about: "A token for a script, to broadcast to channels that match",
        help: help::TOKEN_PUBLISHER,
        arguments: arguments::token_publisher,
        read: read::token_publisher,
    },
    Entry {
        name: "inspect",
        about: "Print what is in a token, and why a server would refuse it",
        help: help::TOKEN_INSPECT,
        arguments: arguments::token_inspect,
        read: read::token_inspect,
    },
];

/// A command line that was read.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// The flags that are settings; [`super::variables::variables`] reads them.
    pub matches: ArgMatches,
}

/// Reads the command line.
///
/// # Errors
/// The text to print instead of running a command: help, version, or what is wrong.
pub fn parse() -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches()?;
    let action = action(&matches, COMMANDS).unwrap_or(Action::Serve);
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
        (entry.arguments)(command)
    }))
}

/// The action of the command that was typed, if one was.
fn action(matches: &ArgMatches, entries: &[Entry]) -> Option<Action> {
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
    fn clap_finds_no_fault_in_the_table() {
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
