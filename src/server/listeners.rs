//! Opening the listeners: the main one and that of the metrics.

use std::io::ErrorKind;
use std::net::SocketAddr;

use log::info;

use super::error::ServerError;
use super::systemd::activation;
use crate::config::Config;
use crate::net::listener::Listener;

/// What the server listens on.
pub struct Listeners {
    /// For broadcasts and subscribers.
    pub main: Listener,
    /// For Prometheus, if configured.
    pub metrics: Option<Listener>,
}

/// The listening socket that the service manager hands over, if it does.
///
/// # Errors
/// When it hands over something else.
pub fn inherit() -> Result<Option<Listener>, ServerError> {
    let listener = activation::inherited_socket()
        .and_then(|socket| socket.map(Listener::inherit).transpose())
        .map_err(ServerError::new(
            "can't take over the socket of the service manager",
        ))?;
    if listener.is_some() {
        info!("socket inherited unused=\"HOST, PORT\"");
    }
    Ok(listener)
}

/// Binds HOST and PORT.
///
/// # Errors
/// When they can't be bound, with a cure.
pub fn bind(config: &Config) -> Result<Listener, ServerError> {
    let Config { host, port, .. } = config;
    let what = format!("can't listen on HOST {host:?}, PORT {port}");
    Listener::bind(host, *port).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::AddrInUse => "; stop what listens there, or choose another PORT",
            ErrorKind::PermissionDenied => "; choose a PORT from 1024 on, or let systemd open it",
            _ => "",
        };
        ServerError::new(what)(error).with_cure(cure)
    })
}

/// Binds BIFROST_METRICS_ADDR.
///
/// # Errors
/// When it can't be bound.
pub fn bind_metrics(address: SocketAddr) -> Result<Listener, ServerError> {
    let what = format!("can't listen on BIFROST_METRICS_ADDR {address}");
    Listener::bind_to(address).map_err(ServerError::new(what))
}
