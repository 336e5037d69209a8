//! `bifrost health`: one question, one line, one exit status.

use std::time::Duration;

use serde::Deserialize;

use super::input::server_url;
use super::outcome::{Failure, Status};
use super::output;
use crate::cli::action::Probe;
use crate::cli::client::http::HttpClient;
use crate::config::Variables;

/// A server that needs longer is not well; container health checks wait 30 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks, and prints the answer if it is a good one.
///
/// # Errors
/// When it is not, or there is none.
pub fn run(variables: &Variables, probe: Probe) -> Result<Status, Failure> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
    }
    let (endpoint, good, bad) = match probe {
        Probe::Ready => ("/readyz", "ready", "not ready"),
        Probe::Alive => ("/healthz", "alive", "not well"),
    };
    let url = server_url(variables)?;
    let answer = HttpClient::new(url.clone(), TIMEOUT).get(endpoint);
    let response = answer.map_err(|error| Failure::Failed(format!("{url}: {error}")))?;
    match (response.status, serde_json::from_slice(&response.body)) {
        (200, Ok(Health { status })) if status == "ok" => {
            output::line(&format!("{url} is {good}")).map(|_| Status::Good)
        }
        (503, Ok(Health { status })) => Err(Failure::Failed(format!("{url} is {bad}: {status}"))),
        (status, _) => Err(Failure::Failed(format!(
            "{url}: answered {status}; is the URL that of a Bifrost server?"
        ))),
    }
}
