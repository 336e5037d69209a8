//! `bifrost serve` and `bifrost demo`: the server.

use super::outcome::{CommandError, Status};
use super::{output, secret};
use crate::api::RootPage;
use crate::api::demo::{self, Demo};
use crate::cli::variables;
use crate::config::{Config, ConfigError, Given, Variables};
use crate::http::LocalHost;
use crate::server::{self, Listeners, ServerError, listeners};

impl From<ServerError> for CommandError {
    fn from(error: ServerError) -> CommandError {
        CommandError::Failed(error.to_string())
    }
}

/// Serves until a signal ends it. `settings` reads the settings, at the start and for each reload.
///
/// # Errors
/// When a setting is wrong, or the server can't listen.
pub fn serve(
    settings: impl Fn() -> Result<Variables, ConfigError> + Send + 'static,
) -> Result<Status, CommandError> {
    let variables = settings()?;
    let config = checked(&variables)?;
    let signals = server::prepare(&config)?;
    let main = match listeners::inherit()? {
        Some(listener) => listener,
        None => {
            config.check_listeners(&variables)?;
            listeners::bind(&config)?
        }
    };
    let metrics = config.metrics_addr.map(listeners::bind_metrics);
    let metrics = metrics.transpose()?;
    let listeners = Listeners { main, metrics };
    let read = move || checked(&settings()?);
    server::run(listeners, &config, RootPage::Welcome, signals, read)?;
    Ok(Status::Good)
}

/// Like [`serve`], with what a first try lacks: a secret, and a port that is free.
///
/// # Errors
/// As [`serve`].
pub fn demo(
    settings: impl Fn() -> Result<Variables, ConfigError> + Send + 'static,
) -> Result<Status, CommandError> {
    let secret = secret::random().map_err(CommandError::system("no random numbers"))?;
    let has_port = settings()?.contains_key("PORT");
    let read = move || checked(&with_defaults(settings()?, &secret));
    let config = read()?;
    let signals = server::prepare(&config)?;
    let main = match listeners::bind(&config) {
        Err(_) if !has_port => listeners::bind(&Config {
            port: 0,
            ..config.clone()
        })?,
        listener => listener?,
    };
    let address = main
        .local_addr()
        .map_err(CommandError::system("the listener has no address"))?;
    let host = LocalHost::new(address, &config.host);
    let demo = Demo::new(config.secret.clone(), config.algorithm, host);
    output::print(&format!("{}\n", demo::introduction(&demo, address)))?;
    let metrics = config.metrics_addr.map(listeners::bind_metrics);
    let metrics = metrics.transpose()?;
    let listeners = Listeners { main, metrics };
    server::run(listeners, &config, RootPage::Demo(demo), signals, read)?;
    Ok(Status::Good)
}

fn checked(variables: &Variables) -> Result<Config, ConfigError> {
    Ok(Config::from_variables(variables)?.with_unknown(variables::unknown()?))
}

/// The settings of the demonstration, where they are not set: HOST is the loopback, and the secret
/// is random.
fn with_defaults(mut variables: Variables, secret: &str) -> Variables {
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
