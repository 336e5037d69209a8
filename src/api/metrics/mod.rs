//! `/metrics` for Prometheus, on a listener of its own.
//!
//! The same accept loop, threads and HTTP as at the main port, in a small house beside it: few
//! places, the same time limits, and its own stop, which nobody raises: how the server drains
//! is worth watching too. `families` says what is told, `text` how it is written.

mod families;
mod process;

use std::io;
use std::sync::Arc;
use std::thread;

use log::debug;
use parking_lot::Mutex;
use tiny_http::Method;

use crate::api::subscribe::Visitor;
use crate::config::Networks;
use crate::http::{Connection, Head, HttpError, Limits, Next, Persistence, Response};
use crate::hub::Hub;
use crate::hub::queue::QueueBudget;
use crate::net::acceptor;
use crate::net::connections::Connections;
use crate::net::connections::ip_limit::PerIpLimit;
use crate::net::listener::Listener;
use crate::net::shutdown::Shutdown;
use crate::net::worker_pool::WorkerPool;

/// Most connections at a time: one or two are in use, and the oldest idle one makes room.
const PLACES: usize = 8;
/// Largest request body, in bytes. Nothing here takes one, so this is for a fair answer.
const MAX_BODY: usize = 4 * 1024;
const GET: &str = "GET, HEAD";

/// Who knows what is not counted in [`crate::counts`].
pub struct Sources {
    /// Channels, subscriptions, deliveries.
    pub registry: Hub,
    /// What waits.
    pub queue_total: QueueBudget,
    /// Who is here.
    pub connections: Connections,
    /// Whether the server is about to stop.
    pub stop: Shutdown,
}

/// Where the metrics are told.
pub struct MetricsServer {
    sources: Sources,
    /// The time limits of the main port, as they are at this moment.
    limits: Box<dyn Fn() -> Limits + Send + Sync>,
    /// One page is written at a time, so that a flood of requests takes one core at most.
    writing: Mutex<()>,
}

impl MetricsServer {
    /// A desk that tells of these, with the time limits of the main port.
    pub fn new(
        sources: Sources,
        limits: impl Fn() -> Limits + Send + Sync + 'static,
    ) -> MetricsServer {
        MetricsServer {
            sources,
            limits: Box::new(limits),
            writing: Mutex::default(),
        }
    }

    /// Answers who comes to `listener` until the process ends, on threads with a stack of so
    /// many bytes.
    ///
    /// # Errors
    /// When no thread or descriptor can be had.
    pub fn open(self, listener: Listener, stack_size: usize) -> io::Result<()> {
        let never = Shutdown::new()?;
        let (desk, stop) = (Arc::new(self), never.clone());
        let reception = WorkerPool::new(stack_size, move |visitor| desk.receive(&visitor, &stop));
        let connections = Connections::without_reserve(PLACES);
        let addresses = PerIpLimit::new(None, Networks::default());
        let answer = move || {
            acceptor::until_stopped(
                &listener,
                &reception,
                &connections,
                || addresses.clone(),
                &never,
            );
        };
        thread::Builder::new()
            .name("metrics".into())
            .spawn(answer)
            .map(drop)
    }

    fn receive(&self, visitor: &Visitor, stop: &Shutdown) {
        let (socket, guest) = (visitor.socket.clone(), visitor.slot.guest());
        let mut conversation = Connection::new(socket, self.limits(), guest, stop.clone());
        loop {
            match conversation.await_request(|| self.limits()) {
                Next::Request(request) => {
                    let reply = self.answer(&request.head);
                    if conversation.reply(reply, &request.head) == Persistence::Close {
                        break;
                    }
                }
                Next::Refused(refusal) => {
                    conversation.refuse(refusal);
                    break;
                }
                Next::Over => break,
            }
        }
        debug!("disconnected conn={} ending=metrics", visitor.slot.id());
    }

    fn limits(&self) -> Limits {
        Limits {
            max_body: MAX_BODY,
            ..(self.limits)()
        }
    }

    fn answer(&self, head: &Head) -> Response {
        match (&head.method, head.path.as_str()) {
            (Method::Get | Method::Head, "/metrics") => {
                Response::text(crate::telemetry::text::CONTENT_TYPE, self.page())
            }
            (Method::Get | Method::Head, "/") => {
                Response::page(include_str!("../assets/metrics.html"))
            }
            (_, "/metrics" | "/") => Response::method_not_allowed(GET),
            _ => HttpError::new(404, "nothing is here; there is /metrics").into(),
        }
    }

    fn page(&self) -> String {
        let _writing = self.writing.lock();
        families::page(&self.sources)
    }
}
