//! The server: puts the house together, opens it, and sees everybody out.

pub mod reload;
pub mod state;
pub mod systemd;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::api::RootPage;
use crate::api::subscribe;
use crate::config::Config;
use crate::hub::Stats;
use crate::net::acceptor;
use crate::net::connections::{self, Connections};
use crate::net::listener::Listener;
use crate::net::shutdown::Shutdown;
use crate::net::worker_pool::WorkerPool;
use crate::server::reload::Reload;
use crate::server::state::State;
use crate::server::systemd::{notify::Notifier, pulse};

/// Stack of a connection's first thread, in bytes, of which it touches about 24 KiB.
///
/// Over four times that of a subscriber's thread: glibc keeps the stacks of ended threads
/// with what they had touched, and gives them to new threads unless they are so much larger
/// than asked for. So the thread that waits for hours gets one that nobody has touched.
const STACK_SIZE: usize = 5 * subscribe::STACK_SIZE;

/// How long idle connections stay open after the stop: a request that is on its way just
/// then is still answered.
const STOPPING_GRACE: Duration = Duration::from_secs(1);

/// Where people come in.
pub struct Listeners {
    /// For everybody.
    pub main: Listener,
    /// For Prometheus, if it may come.
    pub metrics: Option<Listener>,
}

/// Serves until `stop` is raised and everybody has left, at the latest after the drain
/// time limit. Other settings come with `reload`.
///
/// # Errors
/// When the listener is not one, or no thread can be had.
pub fn run(
    Listeners { main, metrics }: Listeners,
    config: &Config,
    front: RootPage,
    stop: &Shutdown,
    notifier: &Notifier,
    reload: Reload,
) -> io::Result<()> {
    let connections = Connections::new(connections::limit(config.max_connections));
    let house = Arc::new(State::new(config, front, connections.clone(), stop)?);
    let (registry, host) = (house.registry(), house.clone());
    let desk = State::metrics_desk(&house);
    let reception = WorkerPool::new(STACK_SIZE, move |visitor| host.receive(visitor));
    let address = main.local_addr()?;
    let open = |metrics: Listener| {
        let address = metrics.local_addr()?;
        desk.open(metrics, STACK_SIZE).map(|()| address)
    };
    let metrics = metrics.map(open).transpose()?;
    pulse::start(
        notifier.clone(),
        address,
        move || status(registry.stats()),
        stop.clone(),
    )?;
    let heir = house.clone();
    reload.start(config.clone(), notifier.clone(), stop.clone(), move |new| {
        heir.apply_config(new)
    })?;
    info!("listening addr={address}"); // when all is there that it needs
    if let Some(address) = metrics {
        info!("metrics listening addr={address}");
    }
    let addresses = || house.addresses();
    acceptor::until_stopped(&main, &reception, &connections, addresses, stop);
    drop(main);
    notifier.stopping(stop.limit());
    drain(&connections, stop, stop.limit());
    Ok(())
}

/// The line that `systemctl status` shows.
fn status(stats: Stats) -> String {
    format!(
        "connected: {}, channels: {}, deliveries: {}",
        stats.connected, stats.channels, stats.deliveries
    )
}

/// Waits for the subscribers and for requests under way, and logs how it ended. Who is only
/// connected is left for a moment, for a request that is on its way, and then left behind.
fn drain(connections: &Connections, stop: &Shutdown, drain: Duration) {
    info!("draining limit={drain:?}");
    let since = stop.since().unwrap_or_else(Instant::now);
    let deadline = since + drain;
    connections.ring_all();
    connections.wait_for_subscribers(deadline);
    connections.wait_for_end(deadline.min(since + STOPPING_GRACE));
    match connections.wait_for_work(deadline) {
        true => info!("stopped"),
        false => warn!("stopped with connections left limit={drain:?}"),
    }
}
