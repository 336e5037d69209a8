//! A subscriber, from its accepted handshake to the end of its connection.
//!
//! The worker thread that served the handshake has touched stack that would stay resident for
//! as long as the connection waits: parsing a head and verifying a token takes 24 KiB. So the
//! waiting is left to a fresh thread.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use log::{debug, info, warn};
use parking_lot::Mutex;

use crate::api::runtime_config::{CurrentConfig, SubscriberConfig};
use crate::api::services::Services;
use crate::api::token_limit::{Holder, OverTokenLimit, TokenPermit};
use crate::auth::AuthError;
use crate::http::Upgraded;
use crate::hub::Subscriptions;
use crate::hub::queue::{FRAME_COST, SendQueue};
use crate::net::connections::{ConnectionPermit, IpPermit};
use crate::net::{self, Shutdown};
use crate::protocol::channel::{self, NameError};
use crate::protocol::close_frame::CloseFrame;
use crate::protocol::event::{self, Event};
use crate::protocol::json::Text;
use crate::protocol::limits::MAX_CHANNELS;
use crate::telemetry::counters;
use crate::telemetry::labels::{AuthFailure, CloseCode, RejectReason};
use crate::telemetry::metric_types::Label;
use crate::telemetry::throttle::Throttle;
use crate::websocket::{Disconnect, Session, WebSocketPush, frame};

/// Stack of a thread that waits for a subscriber, in bytes, of which it touches about 8 KiB.
pub const STACK_SIZE: usize = 64 * 1024;

static REJECTED_TOKENS: Throttle = Throttle::new();
static SLOW_SUBSCRIBERS: Throttle = Throttle::new();
static FLOODING_CLIENTS: Throttle = Throttle::new();
static OVER_TOKEN_LIMIT: Throttle = Throttle::new();

/// A subscriber whose handshake is accepted, and whose session has not begun.
pub struct Subscriber {
    push: WebSocketPush,
    subscriptions: Subscriptions,
    close: CloseCounter,
    config: SubscriberConfig,
    /// For the verifier that is in force when a token is shown.
    runtime: CurrentConfig,
    shutdown: Shutdown,
}

impl Subscriber {
    /// Connects a subscriber to the hub, before its handshake is answered: a client that has the
    /// response is counted. None when descriptors have run out.
    pub fn connect(
        connection: &mut net::Connection,
        services: &Services,
        config: SubscriberConfig,
    ) -> Option<Subscriber> {
        let budget = services.queue_budget.clone();
        let socket = connection.socket.clone();
        let queue = SendQueue::new(socket, config.queue, budget, frame::TOO_SLOW).ok()?;
        let subscriptions = services.hub.connect(queue.clone(), frame::append_message);
        let push = WebSocketPush::new(queue);
        connection.permit.upgrade(push.clone());
        Some(Subscriber {
            push,
            subscriptions,
            close: CloseCounter(CloseCode::NONE),
            config,
            runtime: services.config.clone(),
            shutdown: services.shutdown.clone(),
        })
    }
}

/// Serves a subscriber whose handshake was answered, until it ends or another thread serves it.
pub fn serve(upgraded: Upgraded<Subscriber>) {
    let Upgraded {
        connection,
        early,
        upgrade: subscriber,
    } = upgraded;
    let Subscriber { push, config, .. } = subscriber;
    let id = connection.id();
    connection.permit.await_token();
    config.heartbeat.add(id);
    let limits = config.session;
    let session = Session::new(
        connection.socket,
        push.clone(),
        early,
        connection.input_charge,
        limits,
        subscriber.shutdown,
    );
    let mut connected = SubscriberConnection {
        id,
        session,
        close: subscriber.close,
        subscriptions: subscriber.subscriptions,
        queue: push.queue().clone(),
        runtime: subscriber.runtime,
        max_queue: config.queue,
        permit: connection.permit,
        _ip_permit: connection.ip_permit,
        token_permit: None,
    };
    debug!("subscribing conn={id}");
    match connected.authenticate(Instant::now() + config.auth_timeout) {
        Ok(()) => connected.move_to_fresh_thread(),
        Err(reason) => connected.end(reason),
    }
}

/// An open WebSocket connection.
struct SubscriberConnection {
    id: u64,
    session: Session,
    close: CloseCounter,
    subscriptions: Subscriptions,
    queue: SendQueue,
    runtime: CurrentConfig,
    /// Most bytes that wait in its send queue.
    max_queue: usize,
    permit: ConnectionPermit,
    _ip_permit: IpPermit,
    /// Its part in the limit of its first token; those that it shows later do not count.
    token_permit: Option<TokenPermit>,
}

/// Counts the close code of a connection when it ends, on every path.
struct CloseCounter(CloseCode);

impl Drop for CloseCounter {
    fn drop(&mut self) {
        counters::CLOSES.add_one(self.0);
    }
}

/// What a message did.
#[derive(PartialEq)]
enum Handled {
    /// It showed a valid token.
    Authenticated,
    /// It was answered or ignored.
    Answered,
}

impl SubscriberConnection {
    /// Waits for the first valid token. Other messages are answered, and don't extend the time.
    fn authenticate(&mut self, deadline: Instant) -> Result<(), Disconnect> {
        loop {
            let text = self.session.next(Some(deadline))?;
            if self.handle(&text)? == Handled::Authenticated {
                return Ok(());
            }
        }
    }

    /// Moves the connection to a thread whose stack is untouched; keeps this one if none can start.
    fn move_to_fresh_thread(self) {
        // In the heap: each time it is moved, it takes its size of the fresh stack, for good.
        let handed_over = Arc::new(Mutex::new(Some(Box::new(self))));
        let taken = handed_over.clone();
        let run = move || {
            let connection = taken.lock().take();
            drop(taken);
            if let Some(connection) = connection {
                connection.run();
            }
        };
        let started = thread::Builder::new().stack_size(STACK_SIZE).spawn(run);
        if started.is_err() {
            let kept = handed_over.lock().take();
            if let Some(connection) = kept {
                connection.run();
            }
        }
    }

    /// Handles the client's messages until the connection ends. Asleep for most of the time.
    fn run(mut self: Box<Self>) {
        loop {
            let handled = self.session.next(None).and_then(|text| self.handle(&text));
            if let Err(reason) = handled {
                return self.end(reason);
            }
        }
    }

    fn handle(&mut self, text: &str) -> Result<Handled, Disconnect> {
        let event = Event::parse(text);
        counters::CLIENT_MESSAGES.add_one(event.label());
        let answer = match event {
            Event::Authenticate(token) => {
                self.subscribe(token)?;
                return Ok(Handled::Authenticated);
            }
            Event::Ping => frame::text(event::PONG),
            Event::Other => return Ok(Handled::Answered),
            Event::Malformed(reason) => frame::text(&event::error(reason)),
        };
        let _ = self.queue.push(&answer); // rejected: the session sees why, and ends
        Ok(Handled::Answered)
    }

    /// Subscribes to all channels that a token lists, or to none of them.
    fn subscribe(&mut self, token: Option<Cow<'_, str>>) -> Result<(), Disconnect> {
        let token = token.ok_or_else(|| unauthorized(AuthError::Malformed))?;
        let config = self.runtime.load();
        let verified = config.verifier.verify(&token);
        let verified = verified.map_err(unauthorized)?;
        let claims = verified.claims(SystemTime::now()).map_err(unauthorized)?;
        let listed = claims
            .channels
            .map(|raw| serde_json::from_str::<Vec<Text>>(raw.get()));
        let Some(Ok(listed)) = listed else {
            return Err(not_authorized(AuthFailure::Channels));
        };
        let names: Vec<&str> = listed.iter().map(|Text(name)| &**name).collect();
        self.check(&names).map_err(Disconnect::Rejected)?;
        if self.token_permit.is_none() {
            let subject = verified.subject();
            let holder = subject
                .as_deref()
                .map_or(Holder::Token(&token), Holder::Subject);
            let permit = config.per_token.acquire(holder);
            self.token_permit = Some(permit.map_err(|error| over_token_limit(self.id, error))?);
        }
        // Before the client is told: a subscribed connection is not evicted for another one.
        if !self.permit.subscribe() {
            return Err(Disconnect::Gone); // it was evicted just now
        }
        self.join(&names);
        Ok(())
    }

    fn check(&self, names: &[&str]) -> Result<(), CloseFrame> {
        for name in names {
            channel::check(name).map_err(|error| match error {
                NameError::Empty => CloseFrame::EmptyChannelName,
                NameError::TooLong => CloseFrame::LongChannelName,
            })?;
        }
        let is_new = |name: &&&str| !self.subscriptions.contains(name);
        let new: HashSet<_> = names.iter().filter(is_new).collect();
        if new.len() + self.subscriptions.count() > MAX_CHANNELS {
            return Err(CloseFrame::TooManyChannels);
        }
        Ok(())
    }

    /// Joins in the token's order; confirmations that fill at most half the queue share one write.
    fn join(&mut self, names: &[&str]) {
        let confirmations: Vec<_> = names
            .iter()
            .map(|name| frame::text(&event::subscribed(name)))
            .collect();
        let cost = |frame: &Bytes| frame.len() + FRAME_COST;
        let size: usize = confirmations.iter().map(cost).sum();
        let is_worth_it = names.len() > 1 && size <= self.max_queue / 2;
        let queue = self.queue.clone();
        let _cork = is_worth_it.then(|| queue.cork());
        for (name, confirmation) in names.iter().zip(&confirmations) {
            self.subscriptions.join(name, confirmation);
        }
        let channels = self.subscriptions.count();
        debug!("subscribed conn={} channels={channels}", self.id);
    }

    fn end(self, reason: Disconnect) {
        let SubscriberConnection {
            id,
            session,
            mut close,
            subscriptions,
            permit,
            ..
        } = self;
        record_disconnect(id, reason);
        close.0 = if permit.is_evicted() {
            CloseCode::of(Some(CloseFrame::ServerFull.code()))
        } else {
            reason.label()
        };
        session.finish(reason);
        drop((close, subscriptions));
        debug!("disconnected conn={id} ending={}", reason.name());
    }
}

fn unauthorized(error: AuthError) -> Disconnect {
    // The label is none only for an error of a publisher's scope, which is not read here.
    not_authorized(error.label().unwrap_or(AuthFailure::Malformed))
}

/// Counts a rejected token. The reason is logged, and never sent to the client.
fn not_authorized(failure: AuthFailure) -> Disconnect {
    counters::AUTH_FAILURES.add_one(failure);
    Disconnect::NotAuthorized(failure)
}

/// Counts and logs a token that has too many connections. Whose it is is not logged.
fn over_token_limit(id: u64, error: OverTokenLimit) -> Disconnect {
    counters::REJECTIONS.add_one(RejectReason::PerToken);
    if let Some(suppressed) = OVER_TOKEN_LIMIT.pass() {
        warn!("subscriber refused conn={id} code=1008 reason=\"{error}\" suppressed={suppressed}");
    }
    Disconnect::Rejected(CloseFrame::TooManyConnections)
}

/// Counts and logs the ends that an operator wants to see, each kind of line at most once a second.
fn record_disconnect(id: u64, reason: Disconnect) {
    match reason {
        Disconnect::AuthTimedOut => counters::AUTH_FAILURES.add_one(AuthFailure::TimedOut),
        Disconnect::Silent => counters::SILENT_SUBSCRIBERS_CUT.add_one(), // logged by the heartbeat
        Disconnect::TooManyMessages => {
            counters::FLOODING_CLIENTS_CUT.add_one();
            if let Some(suppressed) = FLOODING_CLIENTS.pass() {
                warn!("client cut conn={id} ending=too_many_messages suppressed={suppressed}");
            }
        }
        Disconnect::OverInputBudget => counters::REJECTIONS.add_one(RejectReason::InputTotal),
        Disconnect::NotAuthorized(failure) => {
            if let Some(suppressed) = REJECTED_TOKENS.pass() {
                let reason = failure.name();
                info!("token refused conn={id} code=4001 reason={reason} suppressed={suppressed}");
            }
        }
        Disconnect::TooSlow | Disconnect::Stalled => {
            counters::SLOW_SUBSCRIBERS_CUT.add_one();
            if let Some(suppressed) = SLOW_SUBSCRIBERS.pass() {
                let name = reason.name();
                warn!("slow subscriber cut conn={id} ending={name} suppressed={suppressed}");
            }
        }
        _ => {}
    }
}
