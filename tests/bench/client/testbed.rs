//! A server with its subscribers and publishers, and the loop that drives them.

use std::time::{Duration, Instant};

use super::poller::{Poller, Ready};
use super::publisher::Publisher;
use super::swarm::{Handshake, Swarm};
use crate::Result;
use crate::server::target::{Signer, Target};
use crate::server::{Launch, Server};

/// Poller tokens from here on belong to publishers.
const FIRST_PUBLISHER: u64 = 1 << 32;
/// The most that one read takes, in bytes: a whole socket buffer would delay the others.
const READ_SIZE: usize = 256 * 1024;
/// How long to wait for a message or response that the server owes, before it counts as lost.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait after the last expected message for one that should not come.
const GRACE: Duration = Duration::from_millis(30);
/// How often to check whether the server has closed the connections of subscribers that left.
const RECHECK: Duration = Duration::from_millis(2);

/// What a scenario has the publishers send, and how it checks what arrives.
pub trait Workload {
    /// A message arrived at a subscriber.
    ///
    /// # Errors
    /// When it is not the expected one.
    fn received(&mut self, subscriber: usize, payload: &[u8]) -> Result;

    /// A response told a publisher how many subscribers were reached; gives the next request.
    ///
    /// # Errors
    /// When the number is wrong.
    fn answered(&mut self, publisher: usize, deliveries: u64) -> Result<Option<&[u8]>>;

    /// Whether everything has arrived.
    fn is_done(&self) -> bool;
}

/// No broadcasts: subscribers connect, or are idle.
pub struct NoBroadcasts;

/// A server, its subscribers and its publishers.
pub struct Testbed {
    /// The server.
    pub server: Server,
    swarm: Swarm,
    publishers: Vec<Publisher>,
    poller: Poller,
    buffer: Vec<u8>,
    /// Descriptors that the server has open without any connection.
    files_when_empty: usize,
    /// Messages, responses and completed subscriptions so far; heartbeats do not count.
    progress: u64,
    /// When `progress` last changed, or the wait for it began.
    waiting_since: Instant,
}

impl Workload for NoBroadcasts {
    fn received(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        let text = String::from_utf8_lossy(payload);
        Err(format!("subscriber {subscriber} got a message that was never sent: {text}").into())
    }

    fn answered(&mut self, publisher: usize, _deliveries: u64) -> Result<Option<&[u8]>> {
        Err(format!("publisher {publisher} got a response without a request").into())
    }

    fn is_done(&self) -> bool {
        false
    }
}

impl Testbed {
    /// Starts a server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(target: Target, launch: &Launch) -> Result<Testbed> {
        let server = Server::start(target, launch)?;
        let files_when_empty = server.descriptors()?;
        Ok(Testbed {
            server,
            swarm: Swarm::default(),
            publishers: Vec::new(),
            poller: Poller::new()?,
            buffer: vec![0; 2 * READ_SIZE],
            files_when_empty,
            progress: 0,
            waiting_since: Instant::now(),
        })
    }

    /// Which server it is.
    pub fn target(&self) -> Target {
        self.server.target
    }

    /// Connects publishers until there are so many.
    ///
    /// # Errors
    /// When the server does not accept one.
    pub fn connect_publishers(&mut self, publishers: usize) -> Result {
        while self.publishers.len() < publishers {
            let token = FIRST_PUBLISHER + self.publishers.len() as u64;
            let publisher = Publisher::connect(&self.poller, self.server.address, token)?;
            self.publishers.push(publisher);
        }
        Ok(())
    }

    /// Has a publisher post a request.
    ///
    /// # Errors
    /// When the server does not read.
    pub fn post(&self, publisher: usize, request: &[u8]) -> Result {
        self.publishers[publisher].post(request)
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.swarm.len()
    }

    /// Connects so many more subscribers, so many at a time, and waits until all are subscribed;
    /// gives how long each took.
    ///
    /// # Errors
    /// When one can't connect or subscribe.
    pub fn connect_subscribers(
        &mut self,
        subscribers: usize,
        at_once: usize,
        handshake: impl Fn(usize) -> Handshake,
    ) -> Result<Vec<Duration>> {
        let goal = self.swarm.len() + subscribers;
        let before = self.swarm.len();
        self.swarm.take_times();
        self.waiting_since = Instant::now();
        while before + self.swarm.subscribed() < goal {
            let latest = goal.min(before + self.swarm.subscribed() + at_once);
            while self.swarm.len() < latest {
                let handshake = handshake(self.swarm.len());
                self.swarm
                    .connect(&self.poller, self.server.address, &handshake)?;
            }
            self.poll(&mut NoBroadcasts)?;
        }
        Ok(self.swarm.take_times())
    }

    /// Subscribes every connection to further channels, and waits until all are confirmed.
    ///
    /// # Errors
    /// When one is not.
    pub fn subscribe_to_more(
        &mut self,
        signer: &Signer,
        channels: impl Fn(usize) -> Vec<String>,
    ) -> Result {
        self.swarm.take_times();
        let requests: Vec<_> = (0..self.swarm.len())
            .map(|number| {
                let channels = channels(number);
                (
                    self.target().authenticate(signer, &channels),
                    channels.len(),
                )
            })
            .collect();
        self.server.start_cpu()?;
        for (number, (request, confirmations)) in requests.iter().enumerate() {
            self.swarm.subscribe(number, request, *confirmations)?;
        }
        self.waiting_since = Instant::now();
        while self.swarm.subscribed() < self.swarm.len() {
            self.poll(&mut NoBroadcasts)?;
        }
        Ok(())
    }

    /// Polls until the workload is done.
    ///
    /// # Errors
    /// When the server does something wrong, or nothing for too long.
    pub fn run(&mut self, workload: &mut impl Workload) -> Result {
        self.waiting_since = Instant::now();
        while !workload.is_done() {
            self.poll(workload)?;
        }
        Ok(())
    }

    /// Makes sure that no further message arrives, which would be a duplicate.
    ///
    /// # Errors
    /// When one does.
    pub fn expect_no_more(&mut self) -> Result {
        self.poll_until(Instant::now() + GRACE)
    }

    /// Polls until a time, and answers pings.
    ///
    /// # Errors
    /// When a message arrives that was never sent, or a subscriber is disconnected.
    pub fn poll_until(&mut self, until: Instant) -> Result {
        while Instant::now() < until {
            self.poll_once(&mut NoBroadcasts, until)?;
        }
        Ok(())
    }

    /// Closes the connections of the subscribers from a number on, and waits until the server has
    /// closed its ends.
    ///
    /// # Errors
    /// When it does not.
    pub fn close_from(&mut self, number: usize) -> Result {
        let closed = self.swarm.len() - number;
        let files_each = self.files_per_subscriber()?;
        self.swarm.close_from(number);
        let expected = self.files_when_empty
            + self.publishers.len()
            + (files_each * number as f64).round() as usize;
        let deadline = Instant::now() + TIMEOUT;
        while closed > 0 && self.server.descriptors()? > expected {
            if Instant::now() > deadline {
                return Err(format!(
                    "{} still has descriptors of the {closed} closed connections",
                    self.target().name()
                )
                .into());
            }
            std::thread::sleep(RECHECK);
        }
        Ok(())
    }

    /// Descriptors that the server has open for each subscriber.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn files_per_subscriber(&self) -> Result<f64> {
        let others = self.files_when_empty + self.publishers.len();
        let theirs = self.server.descriptors()?.saturating_sub(others);
        Ok(theirs as f64 / self.swarm.len().max(1) as f64)
    }

    /// Polls once; fails when there is no progress for too long.
    fn poll(&mut self, workload: &mut impl Workload) -> Result {
        let progress = self.progress;
        let deadline = self.waiting_since + TIMEOUT;
        self.poll_once(workload, deadline)?;
        let now = Instant::now();
        if self.progress > progress {
            self.waiting_since = now;
        } else if now >= deadline {
            let name = self.target().name();
            return Err(
                format!("{name} owes something, but nothing arrived for {TIMEOUT:?}").into(),
            );
        }
        Ok(())
    }

    /// Waits until a socket is ready or the deadline has passed, and handles what is ready.
    fn poll_once(&mut self, workload: &mut impl Workload, deadline: Instant) -> Result {
        let ready = self.poller.wait(Some(deadline))?;
        for index in 0..ready {
            let ready = self.poller.ready(index);
            if ready.token < FIRST_PUBLISHER {
                self.read_subscriber(ready, workload)?;
            } else {
                self.read_publisher((ready.token - FIRST_PUBLISHER) as usize, workload)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn read_subscriber(&mut self, ready: Ready, workload: &mut impl Workload) -> Result {
        let (progress, subscribed) = (&mut self.progress, self.swarm.subscribed());
        let deliver = &mut |number, payload: &[u8]| {
            *progress += 1;
            workload.received(number, payload)
        };
        self.swarm
            .read(&self.poller, ready, &mut self.buffer, deliver)?;
        self.progress += (self.swarm.subscribed() - subscribed) as u64;
        Ok(())
    }

    fn read_publisher(&mut self, number: usize, workload: &mut impl Workload) -> Result {
        let publisher = &mut self.publishers[number];
        if let Some(deliveries) = publisher.read(&mut self.buffer)? {
            self.progress += 1;
            if let Some(request) = workload.answered(number, deliveries)? {
                publisher.post(request)?;
            }
        }
        Ok(())
    }
}
