//! The program: runs the command that was asked for, prints one error, and picks the exit
//! status.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bifrost::api::RootPage;
use bifrost::api::demo::{self, Demo};
use bifrost::cli::commands::{self, CommandError, Status};
use bifrost::cli::{self, Action, Invocation};
use bifrost::config::{Config, ConfigError, Given, Variables};
use bifrost::net::listener::Listener;
use bifrost::net::shutdown::Shutdown;
use bifrost::server::reload::Reload;
use bifrost::server::systemd::{activation, notify::Notifier};
use bifrost::server::{self, Listeners};
use bifrost::telemetry::{counters, log as logging};
use log::{error, info, warn};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

/// A process that a signal ends has this added to the signal's number for a status.
const SIGNALLED: i32 = 128;
/// A wrapper may pass a Ctrl-C on that the whole process group has had already.
const SAME_WISH: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let invocation = match cli::parse() {
        Ok(invocation) => invocation,
        Err(answer) => {
            let _ = answer.print(); // nobody is left to be told
            return ExitCode::from(answer.exit_code() as u8);
        }
    };
    let outcome = run_command(&invocation);
    log::logger().flush();
    match outcome {
        Ok(status) => ExitCode::from(status.code()),
        Err(error) => {
            commands::note(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}

fn run_command(invocation: &Invocation) -> Result<Status, CommandError> {
    let matches = invocation.matches.clone();
    let settings = move || cli::variables(&matches);
    match &invocation.action {
        Action::Serve => serve(settings).map(|()| Status::Good),
        Action::Demo => serve_demo(settings).map(|()| Status::Good),
        Action::Token(request) => commands::token(&settings()?, request),
        Action::Inspect(token) => commands::inspect(&settings()?, token),
        Action::Broadcast(broadcast) => commands::broadcast(&settings()?, broadcast),
        Action::Listen(listen) => commands::listen(&settings()?, listen, stop_on_signals()?),
        Action::Secret => commands::secret(),
        Action::Check => commands::check(&settings()?),
        Action::Health(probe) => commands::health(&settings()?, *probe),
        Action::Completions(shell) => commands::completions(*shell),
        Action::Man(page) => commands::man(page),
        Action::Unit(unit) => commands::unit(*unit),
    }
}

fn serve(
    settings: impl Fn() -> Result<Variables, ConfigError> + Send + 'static,
) -> Result<(), CommandError> {
    let variables = settings()?;
    let config = configured(&variables)?;
    let wishes = prepare(&config)?;
    let listener = match inherit()? {
        Some(listener) => listener,
        None => {
            config.check_listeners(&variables)?;
            listen(&config)?
        }
    };
    let read = move || configured(&settings()?);
    run(listener, &config, RootPage::Welcome, wishes, read)
}

/// Like `serve`, but with what a first try lacks: a secret, and a port that is free.
fn serve_demo(
    settings: impl Fn() -> Result<Variables, ConfigError> + Send + 'static,
) -> Result<(), CommandError> {
    let secret = commands::random_secret().map_err(CommandError::system("no random numbers"))?;
    let has_port = settings()?.contains_key("PORT");
    let read = move || configured(&with_what_lacks(settings()?, &secret));
    let config = read()?;
    let wishes = prepare(&config)?;
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
        .map_err(CommandError::system("the listener has no address"))?;
    commands::print(&format!("{}\n", demo::introduction(&demo, address)))?;
    run(listener, &config, RootPage::Demo(demo), wishes, read)
}

fn configured(variables: &Variables) -> Result<Config, ConfigError> {
    Ok(Config::from_variables(variables)?.with_unknown(cli::unknown()?))
}

fn with_what_lacks(mut variables: Variables, secret: &str) -> Variables {
    let default = |value: &str| Given {
        name: "the default".into(),
        value: value.into(),
    };
    let host = variables.entry("HOST");
    host.or_insert_with(|| default("127.0.0.1"));
    if !variables.contains_key("JWT_SECRET_FILE") {
        let own = variables.entry("JWT_SECRET");
        own.or_insert_with(|| default(secret));
    }
    variables
}

/// What signals ask for.
struct Signals {
    stop: Shutdown,
    /// To read the settings again.
    reloads: Receiver<()>,
}

/// What has to be there before the first connection: the log, and an answer to signals.
fn prepare(config: &Config) -> Result<Signals, CommandError> {
    logging::start(config.log).map_err(CommandError::system("can't start a thread"))?;
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: the message could quote what a client sent.
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        error!("panic place={place}");
        counters::PANICS.add_one();
    }));
    let stop = Shutdown::new().map_err(CommandError::system("can't open a descriptor"))?;
    // Room for one: whoever reads the settings after that has seen all that was there before.
    let (wish, reloads) = sync_channel(1);
    raise_on_signals(stop.clone(), Some(wish))
        .map_err(CommandError::system("can't catch signals"))?;
    Ok(Signals { stop, reloads })
}

fn stop_on_signals() -> Result<Shutdown, CommandError> {
    let stop = Shutdown::new().map_err(CommandError::system("can't open a descriptor"))?;
    raise_on_signals(stop.clone(), None).map_err(CommandError::system("can't catch signals"))?;
    Ok(stop)
}

fn run(
    main: Listener,
    config: &Config,
    front: RootPage,
    wishes: Signals,
    read: impl Fn() -> Result<Config, ConfigError> + Send + 'static,
) -> Result<(), CommandError> {
    let metrics = config.metrics_addr.map(listen_for_metrics).transpose()?;
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
    let doors = Listeners { main, metrics };
    let Signals { stop, reloads } = wishes;
    let reload = Reload {
        wishes: reloads,
        read: Box::new(read),
    };
    server::run(doors, config, front, &stop, &notifier, reload)
        .map_err(CommandError::system("can't serve"))
}

/// The first SIGTERM or SIGINT asks for the shutdown. A second one does not wait for it, but
/// of a server only a second Ctrl-C, some time later, takes away what subscribers still get.
/// SIGHUP wishes for the settings to be read again, where somebody can do that; but when it
/// comes because the terminal was closed in whose foreground the server was started, it asks
/// for the shutdown.
fn raise_on_signals(stop: Shutdown, wish: Option<SyncSender<()>>) -> io::Result<()> {
    let mut signals = iterator::Signals::new([SIGINT, SIGTERM])?;
    if wish.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    let had_terminal = is_in_foreground();
    let is_server = wish.is_some();
    let watch = move || {
        for signal in signals.forever() {
            let is_orphan = had_terminal && terminal().is_none();
            if signal == SIGHUP && !is_orphan {
                let _ = wish.as_ref().map(|wish| wish.try_send(())); // full: one waits already
                continue;
            }
            match stop.since() {
                None => info!("stopping signal={signal}"),
                Some(_) if !is_server => std::process::exit(SIGNALLED + signal),
                Some(at) if signal == SIGINT && at.elapsed() >= SAME_WISH => {
                    std::process::exit(SIGNALLED + signal);
                }
                Some(_) => {}
            }
            stop.trigger();
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map(drop)
}

/// The terminal that our processes belong to, wherever the output goes (credentials(7)).
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether what is typed there is for us. Who was started in the background outlives it.
fn is_in_foreground() -> bool {
    terminal().is_some_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// The socket of the service manager, if it gave us one.
fn inherit() -> Result<Option<Listener>, CommandError> {
    let error = CommandError::system("can't take over the socket of the service manager");
    let listener = activation::inherited_socket()
        .and_then(|socket| socket.map(Listener::inherit).transpose())
        .map_err(error)?;
    if listener.is_some() {
        info!("socket inherited unused=\"HOST, PORT\"");
    }
    Ok(listener)
}

fn listen(config: &Config) -> Result<Listener, CommandError> {
    let what = format!(
        "can't listen on HOST {:?}, PORT {}",
        config.host, config.port
    );
    Listener::bind(&config.host, config.port).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::AddrInUse => "; stop what listens there, or choose another PORT",
            ErrorKind::PermissionDenied => "; choose a PORT from 1024 on, or let systemd open it",
            _ => "",
        };
        CommandError::Failed(format!("{what}: {error}{cure}"))
    })
}

fn listen_for_metrics(address: SocketAddr) -> Result<Listener, CommandError> {
    let what = format!("can't listen on BIFROST_METRICS_ADDR {address}");
    Listener::bind_to(address).map_err(CommandError::system(what))
}
