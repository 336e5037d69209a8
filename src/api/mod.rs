//! What is found at which path.

pub mod broadcast;
pub mod demo;
pub mod metrics;
pub mod subscribe;

use std::sync::Arc;
use std::time::Instant;

use log::warn;
use serde::Serialize;
use tiny_http::Method;

use self::broadcast::Refused;
use crate::api::demo::Demo;
use crate::auth::{Algorithm, Secret, Verifier};
use crate::config::Origins;
use crate::http::{Head, HttpError, Request, Response};
use crate::hub::Hub;
use crate::hub::queue::QueueBudget;
use crate::net::connections::Connections;
use crate::net::shutdown::Shutdown;
use crate::telemetry::counters::{self, AuthFailure, BroadcastResult, Label, RejectReason};
use crate::telemetry::log::Throttle;
use crate::websocket::handshake;

/// What is shown of an origin, which may be as long as a head, in characters.
const SHOWN_OF_ORIGIN: usize = 100;

static REFUSED_BROADCASTS: Throttle = Throttle::new();
static REFUSED_ORIGINS: Throttle = Throttle::new();

/// What stands at the front door.
#[derive(Debug, Clone)]
pub enum RootPage {
    /// A page that says what this is.
    Welcome,
    /// The demonstration.
    Demo(Demo),
}

impl RootPage {
    /// The same, which signs with other keys if it signs at all.
    #[must_use]
    pub fn signing_with(&self, secret: &Secret, algorithm: Algorithm) -> RootPage {
        match self {
            RootPage::Welcome => RootPage::Welcome,
            RootPage::Demo(_) => RootPage::Demo(Demo::new(secret.clone(), algorithm)),
        }
    }
}

/// What happens to a request.
pub enum Answer {
    /// It is answered.
    Response(Response),
    /// It is answered, and the connection becomes a subscriber's.
    Subscribe(Response),
}

/// Everything that the routes answer from.
pub struct Routes {
    /// Checks broadcasts.
    pub verifier: Arc<Verifier>,
    /// Gets them, and counts.
    pub registry: Hub,
    /// Knows what waits for subscribers.
    pub queue_total: QueueBudget,
    /// Knows whether the server is full.
    pub connections: Connections,
    /// Pages that may subscribe; any, if nothing.
    pub origins: Option<Origins>,
    /// What stands at `/`.
    pub front: RootPage,
    /// Since when the server runs.
    pub started: Instant,
    /// Whether it is about to stop.
    pub stop: Shutdown,
}

#[derive(Serialize)]
struct Info {
    stats: InfoStats,
    version: &'static str,
    uptime_seconds: u64,
}

#[derive(Serialize)]
struct InfoStats {
    deliveries: u64,
    connected: usize,
    channels: usize,
    subscriptions: usize,
    rejected_tokens: u64,
    slow_subscribers_cut: u64,
    panics: u64,
    queued_bytes: u64,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const OK: Health = Health { status: "ok" };
const GET: &str = "GET, HEAD";
const POST: &str = "POST";

impl Routes {
    /// Finds the route and follows it.
    pub fn answer(&self, request: &Request) -> Answer {
        let reply = match (&request.head.method, request.head.path.as_str()) {
            (Method::Post, "/broadcast") => self.broadcast(request),
            (Method::Get | Method::Head, "/subscribe") => return self.subscribe(request),
            (Method::Get | Method::Head, "/info.json") => Response::json(200, &self.info()),
            (Method::Get | Method::Head, "/healthz") => Response::json(200, &OK),
            (Method::Get | Method::Head, "/readyz") => self.readiness(),
            (Method::Get | Method::Head, "/") => self.front_page(),
            #[cfg(feature = "provoke-panic")]
            (Method::Get, "/panic") => panic!("on purpose"),
            (_, "/broadcast") => Response::method_not_allowed(POST),
            (_, "/subscribe" | "/info.json" | "/healthz" | "/readyz" | "/") => {
                Response::method_not_allowed(GET)
            }
            _ => match &self.front {
                RootPage::Demo(demo) => answer_in_demo(demo, request),
                RootPage::Welcome => not_found(),
            },
        };
        Answer::Response(reply)
    }

    fn broadcast(&self, request: &Request) -> Response {
        let began = Instant::now(); // the request is there whole
        let outcome = broadcast::post(request, &self.verifier, &self.registry);
        let reply = outcome.unwrap_or_else(|refused| {
            note_broadcast(&refused);
            refused.refusal.into()
        });
        counters::BROADCASTS.add_one(BroadcastResult::of(reply.status()));
        counters::BROADCAST_DURATION.observe(began.elapsed());
        reply
    }

    fn subscribe(&self, request: &Request) -> Answer {
        let accepted = match handshake::accept(&request.head, self.origins.as_ref()) {
            Ok(accepted) => accepted,
            Err(reply) => {
                counters::REJECTIONS.add_one(match reply.status() {
                    403 => {
                        self.note_origin(&request.head);
                        RejectReason::Origin
                    }
                    _ => RejectReason::Handshake,
                });
                return Answer::Response(reply);
            }
        };
        let refuse = |obstacle, sentence| {
            counters::REJECTIONS.add_one(obstacle);
            Answer::Response(HttpError::new(503, sentence).into())
        };
        match () {
            () if self.stop.is_triggered() => {
                refuse(RejectReason::Draining, "the server is restarting")
            }
            () if !self.connections.evict_for_upgrade() => {
                refuse(RejectReason::Full, "the server is full; try again later")
            }
            () => Answer::Subscribe(accepted),
        }
    }

    /// Names the page that was turned away. The text is the client's, so it is cut and escaped.
    fn note_origin(&self, head: &Head) {
        let Some(origin) = handshake::foreign_origin(head, self.origins.as_ref()) else {
            return;
        };
        if let Some(suppressed) = REFUSED_ORIGINS.pass() {
            let shown: String = origin.chars().take(SHOWN_OF_ORIGIN).collect();
            warn!(
                "subscriber refused status=403 origin={shown:?} \
                 reason=\"not in BIFROST_ALLOWED_ORIGINS\" suppressed={suppressed}"
            );
        }
    }

    /// Why no new subscriber would be taken.
    fn obstacle(&self) -> Option<&'static str> {
        match () {
            () if self.stop.is_triggered() => Some("draining"),
            () if !self.connections.can_upgrade() => Some("full"),
            () => None,
        }
    }

    fn readiness(&self) -> Response {
        match self.obstacle() {
            Some(status) => Response::json(503, &Health { status }),
            None => Response::json(200, &OK),
        }
    }

    fn info(&self) -> Info {
        let stats = self.registry.stats();
        Info {
            stats: InfoStats {
                deliveries: stats.deliveries,
                connected: stats.connected,
                channels: stats.channels,
                subscriptions: stats.subscriptions,
                rejected_tokens: counters::rejected_tokens(),
                slow_subscribers_cut: counters::SLOW_SUBSCRIBERS_CUT.total(),
                panics: counters::PANICS.total(),
                queued_bytes: self.queue_total.bytes(),
            },
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
        }
    }

    fn front_page(&self) -> Response {
        match self.front {
            RootPage::Demo(_) => Demo::page(),
            RootPage::Welcome => Response::page(include_str!("assets/welcome.html")),
        }
    }
}

fn note_broadcast(refused: &Refused) {
    let Some(suppressed) = REFUSED_BROADCASTS.pass() else {
        return;
    };
    let Refused { refusal, token } = refused;
    let (status, reason) = (refusal.status, &refusal.sentence);
    let token = token.map_or_else(String::new, |rejection| {
        format!(" token={}", AuthFailure::from(rejection).name())
    });
    warn!("broadcast refused status={status} reason={reason:?}{token} suppressed={suppressed}");
}

fn answer_in_demo(demo: &Demo, request: &Request) -> Response {
    match (&request.head.method, request.head.path.as_str()) {
        (Method::Get | Method::Head, "/demo/token") => demo.give_token(),
        (Method::Post, "/demo/sign") => demo.sign_message(request).unwrap_or_else(Response::from),
        (_, "/demo/token") => Response::method_not_allowed(GET),
        (_, "/demo/sign") => Response::method_not_allowed(POST),
        _ => not_found(),
    }
}

fn not_found() -> Response {
    let known = "/broadcast, /subscribe, /info.json, /healthz, /readyz and /";
    HttpError::new(404, format!("nothing is here; there are {known}")).into()
}
