//! A server with its subscribers and publishers, and the loop that serves them all.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Invitation};
use super::poller::{Poller, Ready};
use super::publisher::Publisher;
use crate::Result;
use crate::server::target::{Signer, Target};
use crate::server::{Launch, Server};

/// Tokens from here on are publishers'.
const FIRST_PUBLISHER: u64 = 1 << 32;
/// The most that one read takes: a whole socket buffer would only keep others waiting.
const READ_SIZE: usize = 256 * 1024;
/// A server that owes something and says nothing for so long has lost it.
const PATIENCE: Duration = Duration::from_secs(20);
/// A message that has not come so long after the last one that was due will not come.
const STRAGGLING: Duration = Duration::from_millis(30);
/// How often to look whether a server has noticed that its subscribers left.
const RECHECK: Duration = Duration::from_millis(2);

/// What happens on a stage, as a scenario sees it.
pub trait Play {
    /// A subscriber got a message.
    ///
    /// # Errors
    /// When it should not have.
    fn heard(&mut self, subscriber: usize, payload: &[u8]) -> Result;

    /// A publisher was told how many subscribers were reached; gives what to post next.
    ///
    /// # Errors
    /// When the number is wrong.
    fn answered(&mut self, publisher: usize, deliveries: u64) -> Result<Option<&[u8]>>;

    /// Whether nothing is owed any more.
    fn is_over(&self) -> bool;
}

/// Nobody broadcasts; subscribers connect, or wait.
pub struct Silence;

/// A server under load.
pub struct Stage {
    /// The server.
    pub server: Server,
    crowd: Crowd,
    publishers: Vec<Publisher>,
    poller: Poller,
    buffer: Vec<u8>,
    /// Descriptors that the server has open without any connection.
    files_when_empty: usize,
    /// Messages, answers and admissions so far: what a server owes, unlike heartbeats.
    dues: u64,
    /// Since when none has come, while some are owed.
    waiting_since: Instant,
}

impl Play for Silence {
    fn heard(&mut self, subscriber: usize, payload: &[u8]) -> Result {
        let text = String::from_utf8_lossy(payload);
        Err(format!("subscriber {subscriber} got a message that nobody sent: {text}").into())
    }

    fn answered(&mut self, publisher: usize, _deliveries: u64) -> Result<Option<&[u8]>> {
        Err(format!("publisher {publisher} got an answer without asking").into())
    }

    fn is_over(&self) -> bool {
        false
    }
}

impl Stage {
    /// Starts a server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn open(target: Target, launch: &Launch) -> Result<Stage> {
        let server = Server::start(target, launch)?;
        let files_when_empty = server.descriptors()?;
        Ok(Stage {
            server,
            crowd: Crowd::default(),
            publishers: Vec::new(),
            poller: Poller::new()?,
            buffer: vec![0; 2 * READ_SIZE],
            files_when_empty,
            dues: 0,
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
    /// When nobody listens.
    pub fn hire(&mut self, publishers: usize) -> Result {
        while self.publishers.len() < publishers {
            let token = FIRST_PUBLISHER + self.publishers.len() as u64;
            let publisher = Publisher::connect(&self.poller, self.server.address, token)?;
            self.publishers.push(publisher);
        }
        Ok(())
    }

    /// Has a publisher post a request outside its turn.
    ///
    /// # Errors
    /// When the server does not read.
    pub fn post(&self, publisher: usize, request: &[u8]) -> Result {
        self.publishers[publisher].post(request)
    }

    /// How many subscribers there are.
    pub fn crowd_size(&self) -> usize {
        self.crowd.size()
    }

    /// Lets so many more subscribers in, so many at a time, and waits until all are subscribed;
    /// tells how long each took.
    ///
    /// # Errors
    /// When one is not let in.
    pub fn gather(
        &mut self,
        subscribers: usize,
        at_once: usize,
        invitation: impl Fn(usize) -> Invitation,
    ) -> Result<Vec<Duration>> {
        let goal = self.crowd.size() + subscribers;
        let settled = self.crowd.size();
        self.crowd.take_waits();
        self.waiting_since = Instant::now();
        while settled + self.crowd.subscribed() < goal {
            let latest = goal.min(settled + self.crowd.subscribed() + at_once);
            while self.crowd.size() < latest {
                let invitation = invitation(self.crowd.size());
                self.crowd
                    .admit(&self.poller, self.server.address, &invitation)?;
            }
            self.turn_or_give_up(&mut Silence)?;
        }
        Ok(self.crowd.take_waits())
    }

    /// Has every subscriber ask for further channels, and waits until all have them.
    ///
    /// # Errors
    /// When one does not get them.
    pub fn extend(&mut self, signer: &Signer, channels: impl Fn(usize) -> Vec<String>) -> Result {
        self.crowd.take_waits();
        let greetings: Vec<_> = (0..self.crowd.size())
            .map(|number| {
                let channels = channels(number);
                (self.target().greeting(signer, &channels), channels.len())
            })
            .collect();
        self.server.begin()?;
        for (number, (greeting, confirmations)) in greetings.iter().enumerate() {
            self.crowd.greet_again(number, greeting, *confirmations)?;
        }
        self.waiting_since = Instant::now();
        while self.crowd.subscribed() < self.crowd.size() {
            self.turn_or_give_up(&mut Silence)?;
        }
        Ok(())
    }

    /// Serves until the play is over.
    ///
    /// # Errors
    /// When the server does something wrong, or nothing although the play is not over.
    pub fn perform(&mut self, play: &mut impl Play) -> Result {
        self.waiting_since = Instant::now();
        while !play.is_over() {
            self.turn_or_give_up(play)?;
        }
        Ok(())
    }

    /// Makes sure that nothing more comes: what does now came twice.
    ///
    /// # Errors
    /// When something does.
    pub fn await_stragglers(&mut self) -> Result {
        self.attend(Instant::now() + STRAGGLING)
    }

    /// Serves whatever comes until a time.
    ///
    /// # Errors
    /// When a message comes that nobody sent, or a subscriber is cut.
    pub fn attend(&mut self, until: Instant) -> Result {
        while Instant::now() < until {
            self.turn(&mut Silence, until)?;
        }
        Ok(())
    }

    /// Cuts the subscribers from a number on, and waits until the server has noticed.
    ///
    /// # Errors
    /// When it does not.
    pub fn dismiss_from(&mut self, number: usize) -> Result {
        let gone = self.crowd.size() - number;
        let files_each = self.files_per_subscriber()?;
        self.crowd.dismiss_from(number);
        let expected = self.files_when_empty
            + self.publishers.len()
            + (files_each * number as f64).round() as usize;
        let deadline = Instant::now() + PATIENCE;
        while gone > 0 && self.server.descriptors()? > expected {
            if Instant::now() > deadline {
                return Err(format!("{} keeps what {gone} left open", self.target().name()).into());
            }
            std::thread::sleep(RECHECK);
        }
        Ok(())
    }

    /// Descriptors that the server has open for each subscriber.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn files_per_subscriber(&self) -> Result<f64> {
        let others = self.files_when_empty + self.publishers.len();
        let theirs = self.server.descriptors()?.saturating_sub(others);
        Ok(theirs as f64 / self.crowd.size().max(1) as f64)
    }

    /// Serves what is ready, once, and remembers whether anything that is owed was among it.
    fn turn_or_give_up(&mut self, play: &mut impl Play) -> Result {
        let dues = self.dues;
        let give_up = self.waiting_since + PATIENCE;
        self.turn(play, give_up)?;
        let now = Instant::now();
        if self.dues > dues {
            self.waiting_since = now;
        } else if now >= give_up {
            let name = self.target().name();
            return Err(format!("{name} owes something, but nothing came for {PATIENCE:?}").into());
        }
        Ok(())
    }

    /// Serves what is ready, once.
    fn turn(&mut self, play: &mut impl Play, deadline: Instant) -> Result {
        let ready = self.poller.wait(Some(deadline))?;
        for index in 0..ready {
            let ready = self.poller.ready(index);
            if ready.token < FIRST_PUBLISHER {
                self.read_subscriber(ready, play)?;
            } else {
                self.read_publisher((ready.token - FIRST_PUBLISHER) as usize, play)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn read_subscriber(&mut self, ready: Ready, play: &mut impl Play) -> Result {
        let (dues, subscribed) = (&mut self.dues, self.crowd.subscribed());
        let hear = &mut |number, payload: &[u8]| {
            *dues += 1;
            play.heard(number, payload)
        };
        self.crowd
            .read(&self.poller, ready, &mut self.buffer, hear)?;
        self.dues += (self.crowd.subscribed() - subscribed) as u64;
        Ok(())
    }

    fn read_publisher(&mut self, number: usize, play: &mut impl Play) -> Result {
        let publisher = &mut self.publishers[number];
        if let Some(deliveries) = publisher.read(&mut self.buffer)? {
            self.dues += 1;
            if let Some(request) = play.answered(number, deliveries)? {
                publisher.post(request)?;
            }
        }
        Ok(())
    }
}
