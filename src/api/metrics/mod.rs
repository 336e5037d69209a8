//! `/metrics` for Prometheus, on a listener of its own.
//!
//! The same acceptor, worker pool and request loop as at the main port, with few connections, the
//! same time limits, and a shutdown of its own that nothing triggers: the metrics can be watched
//! while the server drains. `families` lists the metrics; a new metric is counted in
//! `telemetry::counters` and written there.

mod families;
mod process;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use log::debug;
use parking_lot::Mutex;

use super::services::Services;
use crate::http::{
    self, Answer, Head, HttpError, Limits, LocalHost, Method, Request, Response, Status,
};
use crate::net::acceptor::{Acceptor, Refusal, Serve};
use crate::net::connections::{Connections, IpPermit, OverIpLimit};
use crate::net::listener::Listener;
use crate::net::{self, Shutdown};
use crate::telemetry::prometheus;

/// Most connections: one or two are in use, and the longest-idle one is evicted for another.
const MAX_CONNECTIONS: usize = 8;
/// Largest request body, in bytes. No route takes one, but a short one gets a proper response.
const MAX_BODY: usize = 4 * 1024;
const GET: &str = "GET, HEAD";

/// The server of the metrics.
pub struct MetricsServer {
    services: Services,
    /// Guards nothing. One page is written at a time, so that a flood of requests takes at most
    /// one core.
    writing: Mutex<()>,
    /// On a loopback address: that no stranger's page in a browser of this machine reads them.
    host: Option<LocalHost>,
    shutdown: Shutdown,
}

/// Serves the metrics on `listener` until the process ends, on threads with a stack of
/// `stack_size` bytes.
///
/// # Errors
/// When no thread or descriptor can be had.
pub fn start(services: Services, listener: Listener, stack_size: usize) -> io::Result<()> {
    let never = Shutdown::new()?;
    let address = listener.local_addr()?;
    let is_local = address.ip().to_canonical().is_loopback();
    let host = is_local.then(|| LocalHost::new(address, "localhost"));
    let input_budget = services.input_budget.clone();
    let server = MetricsServer {
        services,
        writing: Mutex::default(),
        host,
        shutdown: never.clone(),
    };
    let acceptor = Acceptor {
        listener,
        stack_size,
        connections: Connections::without_reserve(MAX_CONNECTIONS),
        input_budget,
        service: Arc::new(server),
        shutdown: never,
    };
    thread::Builder::new()
        .name("metrics".into())
        .spawn(move || acceptor.run())
        .map(drop)
}

impl Serve for MetricsServer {
    fn admit(&self, _: IpAddr) -> Result<IpPermit, OverIpLimit> {
        Ok(IpPermit::uncounted())
    }

    fn serve(&self, connection: net::Connection) {
        let id = connection.id();
        http::serve(connection, self, self.shutdown.clone());
        debug!("disconnected conn={id} ending=metrics");
    }

    fn refuse(&self, reason: Refusal) -> Vec<u8> {
        let message = match reason {
            Refusal::OverIpLimit(over_limit) => over_limit.to_string(),
            Refusal::NoThread => "no thread is left; try again".to_owned(),
        };
        http::encode(HttpError::new(Status::Unavailable, message))
    }
}

impl http::Service for MetricsServer {
    type Upgrade = Infallible;

    fn limits(&self) -> Limits {
        Limits {
            max_body: MAX_BODY,
            ..self.services.config.load().http
        }
    }

    fn answer(&self, request: &Request, _: &mut net::Connection) -> Answer<Infallible> {
        let host = self.host.as_ref();
        Answer::Respond(match host.map(|host| host.check(&request.head)) {
            Some(Err(error)) => error.into(),
            _ => self.respond(&request.head),
        })
    }

    /// Only requests to the main port are counted.
    fn count(&self, _: Status) {}
}

impl MetricsServer {
    fn respond(&self, head: &Head) -> Response {
        match (head.method, head.path.as_str()) {
            (Method::Get | Method::Head, "/metrics") => {
                Response::text(prometheus::CONTENT_TYPE, self.page())
            }
            (Method::Get | Method::Head, "/") => {
                Response::page(include_str!("../assets/metrics.html"))
            }
            (_, "/metrics" | "/") => Response::method_not_allowed(GET),
            _ => HttpError::new(Status::NotFound, "nothing is here; there is /metrics").into(),
        }
    }

    fn page(&self) -> String {
        let _writing = self.writing.lock();
        families::page(&self.services)
    }
}
