//! The second journey: `GET /subscribe`, from the handshake to the end of the connection.
//!
//! The first thread, which has parsed a head and verified a token, has touched stack that
//! would stay resident for as long as it waits. So the waiting is left to a fresh one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use log::{debug, info, warn};
use parking_lot::Mutex;

use crate::auth::{TokenError, Verifier};
use crate::http::{Connection, Head, HttpError, Response};
use crate::hub::queue::{QueueBudget, SendQueue};
use crate::hub::{Hub, Subscriptions};
use crate::net::connections::ConnectionPermit;
use crate::net::connections::entry::SERVER_IS_FULL;
use crate::net::connections::ip_limit::{IpPermit, OverIpLimit};
use crate::net::live::Live;
use crate::net::shutdown::Shutdown;
use crate::net::socket::Socket;
use crate::protocol::channel::{self, Fault};
use crate::protocol::event::{self, Event};
use crate::protocol::json::Text;
use crate::telemetry::counters::{self, AuthFailure, CloseCode, Label, RejectReason};
use crate::telemetry::log::Throttle;
use crate::websocket::keepalive::Heartbeat;
use crate::websocket::session::{self, CloseFrame, Disconnect, Session};

/// Most channels on one connection.
pub const MAX_CHANNELS: usize = 128;
/// Stack of a thread that waits, in bytes, of which it touches about 8 KiB.
pub const STACK_SIZE: usize = 64 * 1024;

const TOO_MANY_CHANNELS: CloseFrame = CloseFrame {
    code: 1008,
    reason: "More than 128 channels",
};
const EMPTY_NAME: CloseFrame = CloseFrame {
    code: 1008,
    reason: "Channel name is empty",
};
const LONG_NAME: CloseFrame = CloseFrame {
    code: 1008,
    reason: "Channel name is over 255 bytes",
};

static REFUSED_TOKENS: Throttle = Throttle::new();
static SLOW_SUBSCRIBERS: Throttle = Throttle::new();

/// What every subscriber is served with.
#[derive(Clone)]
pub struct Terms {
    /// Checks the tokens that are shown, by the secrets of that moment.
    pub verifier: Live<Verifier>,
    /// Where seats are taken.
    pub registry: Hub,
    /// Pings them.
    pub heartbeat: Heartbeat,
    /// What may wait for one subscriber, in bytes.
    pub queue: usize,
    /// What may wait for all of them.
    pub queue_total: QueueBudget,
    /// From the upgrade to the first good token.
    pub auth_timeout: Duration,
    /// The time limits after that.
    pub limits: session::Limits,
    /// Ends every session.
    pub stop: Shutdown,
}

/// A connection with its part in the counts.
pub struct Visitor {
    /// Its TCP connection.
    pub socket: Socket,
    /// Counts it as open.
    pub slot: ConnectionPermit,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Counts it towards what its address may have.
    pub stay: Result<IpPermit, OverIpLimit>,
}

/// Serves a subscriber from its accepted handshake on; returns when another thread does.
pub fn serve(
    mut conversation: Connection,
    accepted: Response,
    head: &Head,
    visitor: Visitor,
    terms: &Terms,
) {
    let Ok(outbox) = SendQueue::new(
        visitor.socket.clone(),
        terms.queue,
        terms.queue_total.clone(),
    ) else {
        counters::REJECTIONS.add_one(RejectReason::NoDescriptors);
        counters::HTTP_REQUESTS.add_one(503.into());
        conversation.refuse(HttpError::new(503, "no file descriptors left; try again"));
        return;
    };
    // Before the answer: who has it is counted.
    let seat = terms.registry.seat(outbox.clone());
    let close = Close(CloseCode::NONE);
    let slot = visitor.slot.of_subscriber(outbox.clone());
    counters::HTTP_REQUESTS.add_one(101.into());
    let Ok(early) = conversation.upgrade(accepted, head) else {
        return;
    };
    slot.await_token();
    terms.heartbeat.enlist(slot.id());
    let (socket, stop) = (visitor.socket, terms.stop.clone());
    let mut subscriber = Subscriber {
        id: slot.id(),
        session: Session::new(socket, outbox.clone(), early, terms.limits, stop),
        close,
        seat,
        outbox,
        verifier: terms.verifier.clone(),
        queue: terms.queue,
        slot,
        _stay: visitor.stay,
    };
    debug!("subscribing conn={}", subscriber.id);
    match subscriber.authenticate(Instant::now() + terms.auth_timeout) {
        Ok(()) => subscriber.move_to_a_fresh_thread(),
        Err(ending) => subscriber.end(ending),
    }
}

/// An open WebSocket connection.
struct Subscriber {
    id: u64,
    session: Session,
    close: Close,
    seat: Subscriptions,
    outbox: SendQueue,
    verifier: Live<Verifier>,
    queue: usize,
    slot: ConnectionPermit,
    _stay: Result<IpPermit, OverIpLimit>,
}

/// The code under which a connection is counted when it ends, on whichever path.
struct Close(CloseCode);

impl Drop for Close {
    fn drop(&mut self) {
        counters::CLOSES.add_one(self.0);
    }
}

/// What a message did.
#[derive(PartialEq)]
enum Step {
    Authenticated,
    Answered,
}

impl Subscriber {
    /// Waits for the first good token. Pings are answered, but don't extend the time.
    fn authenticate(&mut self, deadline: Instant) -> Result<(), Disconnect> {
        loop {
            let text = self.session.next(Some(deadline))?;
            if self.react(&text)? == Step::Authenticated {
                return Ok(());
            }
        }
    }

    /// Goes on where the stack is untouched; here, if no thread can be had.
    fn move_to_a_fresh_thread(self) {
        let handed_over = Arc::new(Mutex::new(Some(self)));
        let taken = handed_over.clone();
        let listen = move || {
            let subscriber = taken.lock().take();
            drop(taken);
            if let Some(subscriber) = subscriber {
                subscriber.listen();
            }
        };
        if thread::Builder::new()
            .stack_size(STACK_SIZE)
            .spawn(listen)
            .is_err()
        {
            let refused = handed_over.lock().take();
            if let Some(subscriber) = refused {
                subscriber.listen();
            }
        }
    }

    /// Serves the client for as long as it stays: hours, most of them asleep.
    fn listen(mut self) {
        loop {
            let step = self.session.next(None).and_then(|text| self.react(&text));
            if let Err(ending) = step {
                return self.end(ending);
            }
        }
    }

    fn react(&mut self, text: &str) -> Result<Step, Disconnect> {
        let event = Event::parse(text);
        counters::CLIENT_MESSAGES.add_one(event.kind());
        let answer = match event {
            Event::Authenticate(token) => {
                self.admit(token)?;
                return Ok(Step::Authenticated);
            }
            Event::Ping => event::pong(),
            Event::Other => return Ok(Step::Answered),
            Event::Malformed(reason) => event::error(reason),
        };
        let _ = self.outbox.push(&answer); // refused: the session sees why, and ends
        Ok(Step::Answered)
    }

    /// Subscribes to what a token lists, or to nothing of it.
    fn admit(&mut self, token: Option<Cow<'_, str>>) -> Result<(), Disconnect> {
        let token = token.ok_or_else(|| reject(TokenError::Malformed))?;
        let verified = self.verifier.now().verify(&token).map_err(reject)?;
        let claims = verified.claims(SystemTime::now()).map_err(reject)?;
        let listed = claims
            .channels
            .map(|raw| serde_json::from_str::<Vec<Text>>(raw.get()));
        let Some(Ok(listed)) = listed else {
            return Err(reject(AuthFailure::Channels));
        };
        let names: Vec<&str> = listed.iter().map(|Text(name)| &**name).collect();
        self.check(&names).map_err(Disconnect::Rejected)?;
        // Before the client hears of it: from then on it does not make room for others.
        if !self.slot.confirm() {
            return Err(Disconnect::Gone); // it did so just now
        }
        self.join(&names);
        Ok(())
    }

    fn check(&self, names: &[&str]) -> Result<(), CloseFrame> {
        for name in names {
            channel::check(name).map_err(|fault| match fault {
                Fault::Empty => EMPTY_NAME,
                Fault::TooLong => LONG_NAME,
            })?;
        }
        let fresh: HashSet<_> = names.iter().filter(|name| !self.seat.holds(name)).collect();
        match fresh.len() + self.seat.held() <= MAX_CHANNELS {
            true => Ok(()),
            false => Err(TOO_MANY_CHANNELS),
        }
    }

    /// Joins in the token's order; the confirmations go out in one write if they may wait.
    fn join(&mut self, names: &[&str]) {
        let confirmations: Vec<_> = names.iter().map(|name| event::subscribed(name)).collect();
        let size: usize = confirmations.iter().map(|frame| frame.len()).sum();
        let is_worth_it = names.len() > 1 && size <= self.queue / 2;
        let outbox = self.outbox.clone();
        let _cork = is_worth_it.then(|| outbox.cork());
        for (name, confirmation) in names.iter().zip(&confirmations) {
            self.seat.join(name, confirmation);
        }
        debug!("subscribed conn={} channels={}", self.id, self.seat.held());
    }

    fn end(self, ending: Disconnect) {
        let Subscriber {
            id,
            session,
            mut close,
            seat,
            slot,
            ..
        } = self;
        record_disconnect(id, ending);
        close.0 = match slot.is_leaving() {
            true => CloseCode::of(Some(SERVER_IS_FULL)),
            false => ending.close_code(),
        };
        session.finish(ending);
        drop((close, seat));
        debug!("disconnected conn={id} ending={}", ending.name());
    }
}

/// What a token that is not taken means for the connection; why is counted and logged, and
/// never told.
fn reject(reason: impl Into<AuthFailure>) -> Disconnect {
    let reason = reason.into();
    counters::AUTH_FAILURES.add_one(reason);
    Disconnect::NotAuthorized(reason)
}

/// What an operator wants counted, and to see without asking, but not once per connection.
fn record_disconnect(id: u64, ending: Disconnect) {
    match ending {
        Disconnect::AuthTimedOut => counters::AUTH_FAILURES.add_one(AuthFailure::TimedOut),
        Disconnect::Silent => counters::SILENT_SUBSCRIBERS_CUT.add_one(),
        Disconnect::NotAuthorized(reason) => {
            if let Some(suppressed) = REFUSED_TOKENS.pass() {
                let reason = reason.name();
                info!("token refused conn={id} code=4001 reason={reason} suppressed={suppressed}");
            }
        }
        Disconnect::TooSlow | Disconnect::Stalled => {
            counters::SLOW_SUBSCRIBERS_CUT.add_one();
            if let Some(suppressed) = SLOW_SUBSCRIBERS.pass() {
                let name = ending.name();
                warn!("slow subscriber cut conn={id} ending={name} suppressed={suppressed}");
            }
        }
        _ => {}
    }
}
