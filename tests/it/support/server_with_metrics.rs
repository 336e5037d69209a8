//! A server with a metrics listener, and scrapes of it.

use std::net::SocketAddr;
use std::ops::Deref;

use super::eventually;
use super::http::{Http, Response};
use super::process::Launch;
use super::prometheus_text::Scrape;
use super::server::Server;

/// A metrics listener on any free port.
pub const ANYWHERE: (&str, &str) = ("BIFROST_METRICS_ADDR", "127.0.0.1:0");

/// A server with a metrics listener.
pub struct ServerWithMetrics {
    pub server: Server,
    pub metrics: SocketAddr,
}

impl ServerWithMetrics {
    pub fn start() -> ServerWithMetrics {
        ServerWithMetrics::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> ServerWithMetrics {
        let launch = settings
            .iter()
            .chain([&ANYWHERE])
            .fold(Launch::serve(), |launch, (name, value)| {
                launch.env(name, *value)
            });
        ServerWithMetrics::over(launch.start())
    }

    pub fn over(server: Server) -> ServerWithMetrics {
        let metrics = server.stderr.wait_for("metrics listening", |line| {
            let (_, address) = line.split_once("metrics listening addr=")?;
            address.parse().ok()
        });
        ServerWithMetrics { server, metrics }
    }

    /// Opens a connection to the metrics listener.
    pub fn scraper(&self) -> Http {
        Http::connect(self.metrics)
    }

    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        read(&self.scraper().get("/metrics"))
    }

    /// Scrapes until `is_so` accepts the page, for counts that follow an event later.
    pub fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        eventually(what, || Some(self.scrape()).filter(&is_so))
    }
}

impl Deref for ServerWithMetrics {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[track_caller]
pub fn read(response: &Response) -> Scrape {
    assert_eq!(response.status, 200, "{}", response.text());
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::parse(response.text())
}
