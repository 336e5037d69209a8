//! A server with a second listener for metrics, and what one reads there.

use std::net::SocketAddr;
use std::ops::Deref;

use super::eventually;
use super::exposition::Scrape;
use super::http::{Http, Response};
use super::process::Launch;
use super::server::Server;

/// Any free port.
pub const ANYWHERE: (&str, &str) = ("BIFROST_METRICS_ADDR", "127.0.0.1:0");

/// A server with a second listener.
pub struct Watched {
    pub server: Server,
    pub metrics: SocketAddr,
}

impl Watched {
    pub fn start() -> Watched {
        Watched::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Watched {
        let launch = settings
            .iter()
            .chain([&ANYWHERE])
            .fold(Launch::serve(), |launch, (name, value)| {
                launch.env(name, *value)
            });
        Watched::over(launch.start())
    }

    pub fn over(server: Server) -> Watched {
        let metrics = server.stderr.wait_for("metrics listening", |line| {
            let (_, address) = line.split_once("metrics listening addr=")?;
            address.parse().ok()
        });
        Watched { server, metrics }
    }

    /// A fresh connection to the second listener.
    pub fn scraper(&self) -> Http {
        Http::connect(self.metrics)
    }

    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        read(&self.scraper().get("/metrics"))
    }

    /// A page on which something is so; it is counted when the server notices it.
    pub fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        eventually(what, || Some(self.scrape()).filter(&is_so))
    }
}

impl Deref for Watched {
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
