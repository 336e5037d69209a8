//! The server: builds its state, opens its listeners, runs, reloads and drains.
//!
//! [`prepare`] starts the log and catches signals, [`run`] serves until the shutdown. [`State`] is
//! everything that connections are served with; [`reload`] reads the settings again on SIGHUP;
//! [`systemd`] speaks with the service manager.

mod error;
pub mod listeners;
pub mod reload;
pub mod signals;
mod state;
pub mod systemd;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

pub use error::ServerError;
pub use listeners::Listeners;
pub use signals::Signals;
pub use state::State;

use crate::api::{RootPage, metrics, subscribe};
use crate::config::{Config, ConfigError};
use crate::hub::Stats;
use crate::net::Shutdown;
use crate::net::acceptor::Acceptor;
use crate::net::connections::{self, Connections};
use crate::telemetry::{counters, log as logging};
use reload::Reload;
use systemd::notify::Notifier;
use systemd::status;

/// Stack of a worker thread, in bytes, of which it touches about 24 KiB.
///
/// Over four times that of a subscriber's thread: glibc keeps the stacks of ended threads with what
/// they had touched, and gives them to new threads unless they are so much larger than asked for.
/// So the thread that waits for hours gets a stack that was not touched before.
const STACK_SIZE: usize = 5 * subscribe::STACK_SIZE;
/// How long idle connections stay open after the shutdown has begun: a request that is on its way
/// at that moment is still answered.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Keeps the secret out of core dumps, starts the log, logs and counts panics, and catches signals.
///
/// # Errors
/// When a thread, a descriptor or a signal is not available.
pub fn prepare(config: &Config) -> Result<Signals, ServerError> {
    // A limit of the size would not do: a program that core dumps are piped to gets them whole. This
    // also keeps other programs of the same user from reading the memory (prctl(2), ptrace(2)).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| ServerError::new("can't switch core dumps off")(error.into()))?;
    logging::start(config.log).map_err(ServerError::new("can't start a thread"))?;
    std::panic::set_hook(Box::new(|panic| {
        // The place, not the message, which could quote what a client sent.
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        error!("panic place={place}");
        counters::PANICS.add_one();
    }));
    signals::for_server().map_err(ServerError::new("can't catch signals"))
}

/// Serves until the shutdown, then drains: subscribers and requests under way have the drain time
/// limit, idle connections a second. `read` reads the settings again for a reload.
///
/// # Errors
/// When a listener or a thread is not available.
pub fn run(
    listeners: Listeners,
    config: &Config,
    root_page: RootPage,
    signals: Signals,
    read: impl Fn() -> Result<Config, ConfigError> + Send + 'static,
) -> Result<(), ServerError> {
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
    let Signals { shutdown, reloads } = signals;
    let read = Box::new(read);
    let reload = Reload { reloads, read };
    serve(listeners, config, root_page, &shutdown, &notifier, reload)
        .map_err(ServerError::new("can't serve"))
}

fn serve(
    listeners: Listeners,
    config: &Config,
    root_page: RootPage,
    shutdown: &Shutdown,
    notifier: &Notifier,
    reload: Reload,
) -> std::io::Result<()> {
    let Listeners { main, metrics } = listeners;
    let connections = Connections::new(connections::limit(config.max_connections));
    let state = State::new(config, root_page, connections.clone(), shutdown)?;
    let state = Arc::new(state);
    let services = state.services();
    let address = main.local_addr()?;
    let metrics_address = metrics.as_ref().map(|listener| listener.local_addr());
    let metrics_address = metrics_address.transpose()?;
    if let Some(metrics) = metrics {
        metrics::start(services.clone(), metrics, STACK_SIZE)?;
    }
    let hub = services.hub;
    let describe = move || describe(hub.stats());
    let reloaded = state.clone();
    let apply = move |new: &Config| reloaded.apply_config(new);
    reload.start(config.clone(), notifier.clone(), shutdown.clone(), apply)?;
    notifier.ready();
    status::start(notifier.clone(), address, describe, shutdown.clone())?;
    info!("listening addr={address}"); // when everything that it needs is there
    if let Some(address) = metrics_address {
        info!("metrics listening addr={address}");
    }
    let acceptor = Acceptor {
        listener: main,
        stack_size: STACK_SIZE,
        connections: connections.clone(),
        input_budget: services.input_budget,
        service: state,
        shutdown: shutdown.clone(),
    };
    acceptor.run();
    notifier.stopping(shutdown.limit());
    drain(&connections, shutdown);
    Ok(())
}

/// The line that `systemctl status` shows.
fn describe(stats: Stats) -> String {
    format!(
        "connected: {}, channels: {}, deliveries: {}",
        stats.connected, stats.channels, stats.deliveries
    )
}

/// Waits for subscribers and for requests under way, and logs how it ended. Idle connections are
/// waited for only a moment, for a request that is on its way.
fn drain(connections: &Connections, shutdown: &Shutdown) {
    let limit = shutdown.limit();
    info!("draining limit={limit:?}");
    let since = shutdown.triggered_at().unwrap_or_else(Instant::now);
    let deadline = since + limit;
    connections.wake_upgraded();
    connections.wait_for_upgraded(deadline);
    connections.wait_for_end(deadline.min(since + IDLE_GRACE));
    if connections.wait_for_requests(deadline) {
        info!("stopped");
    } else {
        warn!("stopped with connections left limit={limit:?}");
    }
}
