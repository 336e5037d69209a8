//! `bifrost health`: asks a server whether it is well.

use std::time::Duration;

use serde::Deserialize;

use super::input::server_url;
use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::action::Probe;
use crate::cli::client::http::HttpClient;
use crate::config::Variables;

/// Time limit of the whole request. Container health checks wait 30 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks, and prints a line if the server is well.
///
/// # Errors
/// When it is not, or does not answer.
pub fn run(variables: &Variables, probe: Probe) -> Result<Status, CommandError> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
    }
    let (endpoint, good, bad) = match probe {
        Probe::Ready => ("/readyz", "ready", "not ready"),
        Probe::Live => ("/healthz", "alive", "not well"),
    };
    let url = server_url(variables)?;
    let answer = HttpClient::new(url.clone(), TIMEOUT).get(endpoint);
    let response = answer.map_err(|error| CommandError::Failed(format!("{url}: {error}")))?;
    match (response.status, serde_json::from_slice(&response.body)) {
        (200, Ok(Health { status })) if status == "ok" => {
            output::line(&format!("{url} is {good}")).map(|_| Status::Good)
        }
        (503, Ok(Health { status })) => {
            Err(CommandError::Failed(format!("{url} is {bad}: {status}")))
        }
        (status, _) => Err(CommandError::Failed(format!(
            "{url}: answered {status}; is the URL that of a Bifrost server?"
        ))),
    }
}
