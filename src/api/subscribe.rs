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

use crate::auth::{Rejection, Verifier};
use crate::http::{Conversation, Head, Refusal, Reply};
use crate::hub::queue::{Outbox, QueueTotal};
use crate::hub::{Registry, Seat};
use crate::net::connections::Slot;
use crate::net::connections::entry::SERVER_IS_FULL;
use crate::net::connections::ip_limit::{Stay, TooMany};
use crate::net::live::Live;
use crate::net::shutdown::Stop;
use crate::net::socket::Socket;
use crate::protocol::channel::{self, Fault};
use crate::protocol::event::{self, Event};
use crate::protocol::json::Text;
use crate::telemetry::counters::{self, AuthFailure, CloseCode, Label, Obstacle};
use crate::telemetry::log::Throttle;
use crate::websocket::keepalive::Heartbeat;
use crate::websocket::session::{self, Ending, Farewell, Session};

/// Most channels on one connection.
pub const MAX_CHANNELS: usize = 128;
/// Stack of a thread that waits, in bytes, of which it touches about 8 KiB.
pub const STACK_SIZE: usize = 64 * 1024;

const TOO_MANY_CHANNELS: Farewell = Farewell {
    code: 1008,
    reason: "More than 128 channels",
};
const EMPTY_NAME: Farewell = Farewell {
    code: 1008,
    reason: "Channel name is empty",
};
const LONG_NAME: Farewell = Farewell {
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
    pub registry: Registry,
    /// Pings them.
    pub heartbeat: Heartbeat,
    /// What may wait for one subscriber, in bytes.
    pub queue: usize,
    /// What may wait for all of them.
    pub queue_total: QueueTotal,
    /// From the upgrade to the first good token.
    pub auth_timeout: Duration,
    /// The time limits after that.
    pub limits: session::Limits,
    /// Ends every session.
    pub stop: Stop,
}

/// A connection with its part in the counts.
pub struct Visitor {
    /// Its TCP connection.
    pub socket: Socket,
    /// Counts it as open.
    pub slot: Slot,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Counts it towards what its address may have.
    pub stay: Result<Stay, TooMany>,
}

/// Serves a subscriber from its accepted handshake on; returns when another thread does.
pub fn serve(
    mut conversation: Conversation,
    accepted: Reply,
    head: &Head,
    visitor: Visitor,
    terms: &Terms,
) {
    let Ok(outbox) = Outbox::new(
        visitor.socket.clone(),
        terms.queue,
        terms.queue_total.clone(),
    ) else {
        counters::REJECTIONS.add_one(Obstacle::NoDescriptors);
        counters::HTTP_REQUESTS.add_one(503.into());
        conversation.refuse(Refusal::new(503, "no file descriptors left; try again"));
        return;
    };
    // Before the answer: who has it is counted.
    let seat = terms.registry.seat(outbox.clone());
    let close = Close(CloseCode::NONE);
    let slot = visitor.slot.of_subscriber(outbox.clone());
    counters::HTTP_REQUESTS.add_one(101.into());
    let Ok(early) = conversation.switch(accepted, head) else {
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
    seat: Seat,
    outbox: Outbox,
    verifier: Live<Verifier>,
    queue: usize,
    slot: Slot,
    _stay: Result<Stay, TooMany>,
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
    fn authenticate(&mut self, deadline: Instant) -> Result<(), Ending> {
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

    fn react(&mut self, text: &str) -> Result<Step, Ending> {
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
    fn admit(&mut self, token: Option<Cow<'_, str>>) -> Result<(), Ending> {
        let token = token.ok_or_else(|| reject(Rejection::Malformed))?;
        let verified = self.verifier.now().verify(&token).map_err(reject)?;
        let claims = verified.claims(SystemTime::now()).map_err(reject)?;
        let listed = claims
            .channels
            .map(|raw| serde_json::from_str::<Vec<Text>>(raw.get()));
        let Some(Ok(listed)) = listed else {
            return Err(reject(AuthFailure::Channels));
        };
        let names: Vec<&str> = listed.iter().map(|Text(name)| &**name).collect();
        self.check(&names).map_err(Ending::Rejected)?;
        // Before the client hears of it: from then on it does not make room for others.
        if !self.slot.confirm() {
            return Err(Ending::Gone); // it did so just now
        }
        self.join(&names);
        Ok(())
    }

    fn check(&self, names: &[&str]) -> Result<(), Farewell> {
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

    fn end(self, ending: Ending) {
        let Subscriber {
            id,
            session,
            mut close,
            seat,
            slot,
            ..
        } = self;
        note_ending(id, ending);
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
fn reject(reason: impl Into<AuthFailure>) -> Ending {
    let reason = reason.into();
    counters::AUTH_FAILURES.add_one(reason);
    Ending::NotAuthorized(reason)
}

/// What an operator wants counted, and to see without asking, but not once per connection.
fn note_ending(id: u64, ending: Ending) {
    match ending {
        Ending::AuthTimedOut => counters::AUTH_FAILURES.add_one(AuthFailure::TimedOut),
        Ending::Silent => counters::SILENT_SUBSCRIBERS_CUT.add_one(),
        Ending::NotAuthorized(reason) => {
            if let Some(suppressed) = REFUSED_TOKENS.pass() {
                let reason = reason.name();
                info!("token refused conn={id} code=4001 reason={reason} suppressed={suppressed}");
            }
        }
        Ending::TooSlow | Ending::Stalled => {
            counters::SLOW_SUBSCRIBERS_CUT.add_one();
            if let Some(suppressed) = SLOW_SUBSCRIBERS.pass() {
                let name = ending.name();
                warn!("slow subscriber cut conn={id} ending={name} suppressed={suppressed}");
            }
        }
        _ => {}
    }
}
