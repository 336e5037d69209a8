//! The program: reads the settings, serves, and picks the exit status.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use bifrost::cli::{self, Action, Unit};
use bifrost::config::{Config, ConfigError, Given, Variables};
use bifrost::demo::{self, Demo};
use bifrost::listener::Listener;
use bifrost::routes::Front;
use bifrost::stop::Stop;
use bifrost::systemd::{self, activation, notify::Notifier};
use bifrost::{log as logging, server};
use log::{error, info, warn};
use rustix::rand::{GetRandomFlags, getrandom};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A random secret, in bytes: as long as the longest hash.
const RANDOM_SECRET: usize = 64;
/// A process that a signal ends has this added to the signal's number for a status.
const SIGNALLED: i32 = 128;

fn main() -> ExitCode {
    let (action, matches) = cli::parse();
    let variables = || cli::variables(&matches).map_err(Failure::from);
    let outcome = match action {
        Action::Serve => variables().and_then(|variables| serve(&variables)),
        Action::Demo => variables().and_then(serve_demo),
        Action::Unit(unit) => print_unit(unit),
    };
    log::logger().flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bifrost: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn serve(variables: &Variables) -> Result<(), Failure> {
    let config = Config::from_variables(variables)?;
    let stop = prepare(&config)?;
    let listener = match inherit()? {
        Some(listener) => listener,
        None => listen(&config)?,
    };
    run(listener, &config, Front::Welcome, &stop)
}

/// Like `serve`, but with what a first try lacks: a secret, and a port that is free.
fn serve_demo(mut variables: Variables) -> Result<(), Failure> {
    let has_port = variables.contains_key("PORT");
    variables
        .entry("HOST")
        .or_insert_with(|| default("127.0.0.1".into()));
    if !variables.contains_key("JWT_SECRET_FILE") {
        let secret = random_secret().map_err(Failure::system("no random numbers"))?;
        variables
            .entry("JWT_SECRET")
            .or_insert_with(|| default(secret));
    }
    let config = Config::from_variables(&variables)?;
    let stop = prepare(&config)?;
    let listener = match listen(&config) {
        Err(_) if !has_port => listen(&Config {
            port: 0,
            ..config.clone()
        })?,
        listener => listener?,
    };
    let demo = Demo::new(config.secret.clone(), config.algorithm);
    let address = listener
        .local_addr()
        .map_err(Failure::system("the listener has no address"))?;
    println!("{}", demo::introduction(&demo, address));
    run(listener, &config, Front::Demo(demo), &stop)
}

/// What has to be there before the first connection: the log, and an answer to signals.
fn prepare(config: &Config) -> Result<Stop, Failure> {
    logging::start(config.log).map_err(Failure::system("can't start a thread"))?;
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: the message could quote what a client sent.
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        error!("panic place={place}");
    }));
    let stop = Stop::new().map_err(Failure::system("can't open a descriptor"))?;
    raise_on_signals(stop.clone()).map_err(Failure::system("can't catch signals"))?;
    Ok(stop)
}

fn run(listener: Listener, config: &Config, front: Front, stop: &Stop) -> Result<(), Failure> {
    info!(
        "bifrost version={} pid={}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    config
        .warnings()
        .iter()
        .for_each(|warning| warn!("{warning}"));
    let notifier = Notifier::from_environment();
    server::run(listener, config, front, stop, &notifier).map_err(Failure::system("can't serve"))
}

/// The first SIGTERM or SIGINT asks for the shutdown; the second does not wait for it.
fn raise_on_signals(stop: Stop) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let watch = move || {
        for signal in signals.forever() {
            if stop.is_raised() {
                std::process::exit(SIGNALLED + signal);
            }
            info!("stopping signal={signal}");
            stop.raise();
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map(drop)
}

/// The socket of the service manager, if it gave us one.
fn inherit() -> Result<Option<Listener>, Failure> {
    let failure = Failure::system("can't take over the socket of the service manager");
    let listener = activation::inherited_socket()
        .and_then(|socket| socket.map(Listener::inherit).transpose())
        .map_err(failure)?;
    if listener.is_some() {
        info!("socket inherited unused=\"HOST, PORT\"");
    }
    Ok(listener)
}

fn listen(config: &Config) -> Result<Listener, Failure> {
    let what = format!(
        "can't listen on HOST {:?}, PORT {}",
        config.host, config.port
    );
    Listener::bind(&config.host, config.port).map_err(Failure::system(what))
}

fn print_unit(unit: Unit) -> Result<(), Failure> {
    let both = || {
        let (service, socket) = (systemd::SERVICE_UNIT, systemd::SOCKET_UNIT);
        format!("# bifrost.service\n{service}\n# bifrost.socket\n{socket}")
    };
    let text = match unit {
        Unit::Service => systemd::SERVICE_UNIT.into(),
        Unit::Socket => systemd::SOCKET_UNIT.into(),
        Unit::Both => both(),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::system("can't write to stdout"))
}

fn random_secret() -> io::Result<String> {
    let mut bytes = [0; RANDOM_SECRET / 2];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn default(value: String) -> Given {
    Given {
        name: "the default".into(),
        value: value.into(),
    }
}

/// Why the program ends early.
enum Failure {
    Config(ConfigError),
    System(String),
}

impl Failure {
    fn system(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::System(format!("{what}: {error}"))
    }

    /// 2 for a setting that is wrong, 1 for what the system refuses.
    fn status(&self) -> u8 {
        match self {
            Failure::Config(ConfigError::Setting(_)) => 2,
            Failure::Config(ConfigError::File(_)) | Failure::System(_) => 1,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Config(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(formatter),
            Failure::System(message) => formatter.write_str(message),
        }
    }
}
