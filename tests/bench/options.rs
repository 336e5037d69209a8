//! The command line options: what is measured, how often, and how large.

use std::fs;
use std::path::PathBuf;
use std::thread;

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::Result;
use crate::client::delivery_log;
use crate::report::Goals;
use crate::scenarios;
use crate::server::Launch;

const ROUNDS: usize = 5;
/// Largest message, in bytes: when signed it fits into the default limit of a body.
const LARGEST: u64 = 512 * 1024;

const AFTER_HELP: &str = "\
Figures are medians over the rounds; ratios are Bifrost's to the reference's of the same
round. The reference is one thread that verifies nothing and writes each subscriber once.

Exit status: 0 when every message came exactly once and in order, whatever the figures say;
1 otherwise.";

/// What to measure.
pub struct Options {
    /// Names of the chosen scenarios; none means all.
    pub chosen: Vec<String>,
    /// How often each server is measured.
    pub rounds: usize,
    /// How long to measure.
    pub mode: Mode,
    /// Replaces each scenario's numbers of subscribers.
    pub subscribers: Option<usize>,
    /// Replaces each scenario's message sizes, in bytes.
    pub size: Option<usize>,
    /// What starts the servers.
    pub launch: Launch,
    /// Where JSON lines go, if not to the standard output.
    pub json: Option<PathBuf>,
}

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Long enough for meaningful figures.
    Full,
    /// Only long enough to check that everything arrives.
    Quick,
}

impl Options {
    /// The value for the chosen mode.
    pub fn full_or_quick<T>(&self, full: T, quick: T) -> T {
        match self.mode {
            Mode::Full => full,
            Mode::Quick => quick,
        }
    }

    /// Whether the goals are shown.
    pub fn goals(&self) -> Goals {
        self.full_or_quick(Goals::Shown, Goals::Hidden)
    }

    /// The binary and the machine that are measured.
    ///
    /// # Errors
    /// When the server's binary is not there.
    pub fn environment(&self) -> Result<String> {
        let binary = self.launch.bifrost.display();
        let size = fs::metadata(&self.launch.bifrost)
            .map_err(|error| format!("{binary}: {error}; build it, or use --server"))?
            .len();
        let cores = thread::available_parallelism()?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(format!(
            "bifrost: {binary}, {:.2} MB\nmachine: {cores} cores ({}), Linux {}\nrounds: {}",
            size as f64 / 1e6,
            processor(),
            kernel.trim(),
            self.rounds,
        ))
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("unknown", |(_, name)| name).to_owned()
}

/// Reads the command line; prints help or an error and ends the program where clap would.
pub fn from_arguments() -> Options {
    let matches = command().get_matches();
    let mode = if matches.get_flag("quick") {
        Mode::Quick
    } else {
        Mode::Full
    };
    let number = |name: &str| matches.get_one::<usize>(name).copied();
    let chosen = matches.get_many("scenario").into_iter().flatten();
    Options {
        chosen: chosen.cloned().collect(),
        rounds: number("rounds").unwrap_or(match mode {
            Mode::Full => ROUNDS,
            Mode::Quick => 1,
        }),
        mode,
        subscribers: number("subscribers"),
        size: number("size"),
        launch: Launch {
            bifrost: binary(&matches),
        },
        json: matches.get_one("json").cloned(),
    }
}

/// The path from the flag, from the environment, or of the binary that cargo has built.
fn binary(matches: &ArgMatches) -> PathBuf {
    let flag = matches.get_one::<PathBuf>("server").cloned();
    let variable = || std::env::var_os("BIFROST").map(PathBuf::from);
    flag.or_else(variable)
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_bifrost").into())
}

fn command() -> Command {
    let number = |name: &'static str| Arg::new(name).long(name).value_parser(value_parser!(usize));
    let path = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_parser(value_parser!(PathBuf))
    };
    let smallest = delivery_log::SMALLEST as u64;
    Command::new("bench")
        .about("Measure Bifrost against a server that does nothing but write")
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .action(ArgAction::Append)
                .value_parser(NonEmptyStringValueParser::new())
                .help(format!("One of {}; may be repeated", scenarios::names())),
        )
        .arg(number("rounds").help("Turns of each server [default: 5, quick: 1]"))
        .arg(number("subscribers").help("Instead of each scenario's own numbers"))
        .arg(
            number("size")
                .value_parser(RangedU64ValueParser::<usize>::new().range(smallest..=LARGEST))
                .help("Bytes of a message, instead of each scenario's own sizes"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("Small and short, without the soak: for correctness only"),
        )
        .arg(path("server").help("The Bifrost binary; also $BIFROST"))
        .arg(path("json").help("Write JSON lines to this file instead of behind the tables"))
        .arg(
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        ) // cargo passes it
        .after_help(AFTER_HELP)
}
