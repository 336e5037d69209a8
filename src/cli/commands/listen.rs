//! `bifrost listen`: prints what arrives, and comes back when it is cut off.

use std::fs;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};
use serde::Deserialize;

use super::input::{Stdin, keys, server_url};
use super::output::Reader;
use super::{Failure, Status, claims, output};
use crate::auth;
use crate::cli::client::{Ended, Subscription, Url, Watch};
use crate::cli::{Credentials, Form, Listen};
use crate::config::{Keys, Variables};
use crate::net::Shutdown;

/// How long a token is good that is shown at once: clocks may differ a little.
const LIFETIME: Duration = Duration::from_secs(60);
/// The pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Listens until `stop`, the reader's end, or the last message that was asked for.
///
/// # Errors
/// When the first connection fails, or the server does not want us.
pub fn run(variables: &Variables, listen: &Listen, stop: Shutdown) -> Result<Status, Failure> {
    let mut stdin = Stdin::default();
    let mut listener = Listener {
        credentials: Shown::new(&listen.credentials, variables, &mut stdin)?,
        url: server_url(variables)?,
        watch: Watch::new(stop),
        form: listen.form,
        left: listen.count,
        was_confirmed: false,
        pause: FIRST_PAUSE,
    };
    loop {
        match listener.listen() {
            Ok(()) | Err(Break::Ended(Ended::Wanted)) => return Ok(Status::Good),
            Err(Break::Ended(Ended::Lost(why))) if listener.was_confirmed => {
                if listener.rest(&why).is_err() {
                    return Ok(Status::Good);
                }
            }
            Err(Break::Ended(Ended::Refused(why) | Ended::Lost(why))) => {
                return Err(Failure::Failed(format!("{}: {why}", listener.url)));
            }
            Err(Break::Failed(failure)) => return Err(failure),
        }
    }
}

/// Why one connection is over.
enum Break {
    Ended(Ended),
    Failed(Failure),
}

impl From<Ended> for Break {
    fn from(ended: Ended) -> Break {
        Break::Ended(ended)
    }
}

impl From<Failure> for Break {
    fn from(failure: Failure) -> Break {
        Break::Failed(failure)
    }
}

struct Listener {
    credentials: Shown,
    url: Url,
    watch: Watch,
    form: Form,
    /// Messages until it is enough.
    left: Option<u64>,
    /// Whether it has worked once, so that it is worth coming back.
    was_confirmed: bool,
    pause: Duration,
}

impl Listener {
    /// One connection, until nobody wants more of it.
    fn listen(&mut self) -> Result<(), Break> {
        let (token, channels) = self.credentials.token()?;
        let mut subscription = Subscription::open(&self.url, &token, &channels, &self.watch)?;
        if channels.is_empty() {
            self.confirm(&channels);
        }
        let ended = self.print_all(&mut subscription, &channels);
        if matches!(ended, Ok(()) | Err(Break::Ended(Ended::Wanted))) {
            subscription.close();
        }
        ended
    }

    fn print_all(&mut self, from: &mut Subscription, channels: &[String]) -> Result<(), Break> {
        loop {
            let Some(message) = from.receive()? else {
                self.confirm(channels);
                continue;
            };
            let printed = match self.form {
                Form::Raw => output::line(&message)?,
                Form::Line => output::line(&on_one_line(&message))?,
            };
            if printed == Reader::Gone {
                return Ok(());
            }
            self.left = self.left.map(|left| left - 1);
            if self.left == Some(0) {
                return Ok(());
            }
        }
    }

    fn confirm(&mut self, channels: &[String]) {
        (self.was_confirmed, self.pause) = (true, FIRST_PAUSE);
        output::note(&format!(
            "listening to {} at {}",
            channels.join(", "),
            self.url
        ));
    }

    /// A pause, longer each time; not the same for everybody whom a server has lost.
    fn rest(&mut self, why: &str) -> Result<(), Ended> {
        let pause = self.pause.mul_f64(0.5 + 0.5 * chance());
        let seconds = pause.as_secs_f64();
        output::note(&format!(
            "{}: {why}; trying again in {seconds:.1}s",
            self.url
        ));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self.watch.pause(Instant::now() + pause)
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    let mut byte = [0];
    let _ = getrandom(&mut byte, GetRandomFlags::empty()); // then all rest as long
    f64::from(byte[0]) / 255.0
}

/// Outside its strings a JSON text may have line breaks, inside it can't.
fn on_one_line(message: &str) -> String {
    message.replace(['\n', '\r'], " ")
}

/// What is shown to the server, for each connection anew.
enum Shown {
    Ours { keys: Keys, channels: Vec<String> },
    File { path: String, last: Option<String> },
    Fixed(String),
}

impl Shown {
    fn new(
        credentials: &Credentials,
        variables: &Variables,
        stdin: &mut Stdin,
    ) -> Result<Shown, Failure> {
        Ok(match credentials {
            Credentials::Channels(channels) => {
                output::note_patterns(channels);
                Shown::Ours {
                    keys: keys(variables, stdin)?,
                    channels: channels.clone(),
                }
            }
            Credentials::TokenFile(path) if path == "-" => Shown::Fixed(stdin.text("the token")?),
            Credentials::TokenFile(path) => Shown::File {
                path: path.clone(),
                last: None,
            },
        })
    }

    /// A token, and the channels that are in it.
    fn token(&mut self) -> Result<(String, Vec<String>), Failure> {
        let token = match self {
            Shown::Ours { keys, channels } => {
                let token = claims::subscribe(channels, Some(LIFETIME), keys)?;
                return Ok((token, channels.clone()));
            }
            Shown::Fixed(token) => token.clone(),
            Shown::File { path, last } => read_token(path, last)?,
        };
        let token = token.trim().to_owned();
        match channels_of(&token) {
            Some(channels) => Ok((token, channels)),
            None => Err(Failure::Failed(
                "the token lists no channels to listen to; `bifrost token inspect` tells what is \
                 in it"
                    .into(),
            )),
        }
    }
}

/// The file as it is now; if it is a pipe that has been read, what it said.
fn read_token(path: &str, last: &mut Option<String>) -> Result<String, Failure> {
    let what = format!("can't read the token file {path:?}");
    match (fs::read_to_string(path), &*last) {
        (Ok(token), Some(last)) if token.trim().is_empty() => Ok(last.clone()),
        (Ok(token), _) => {
            *last = Some(token.clone());
            Ok(token)
        }
        (Err(error), _) => Err(Failure::system(what)(error)),
    }
}

/// What somebody else has signed into a token. Whether it is good, the server decides.
fn channels_of(token: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Claims {
        channels: Vec<String>,
    }
    let claims = token.split('.').nth(1).and_then(auth::decode_part)?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_line_says_the_same(text in "[\\[\\]{}\":,1\n\r\t ]{0,30}") {
            let line = on_one_line(&text);
            prop_assert!(!line.contains(['\n', '\r']));
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
            }
        }

        #[test]
        fn no_token_makes_it_panic(token in "[a-zA-Z0-9_.=-]{0,40}") {
            let _ = channels_of(&token);
        }
    }

    #[test]
    fn channels_are_found_without_a_secret() {
        // {"alg":"HS512"}.{"channels":["a"]}.x
        let token = "eyJhbGciOiJIUzUxMiJ9.eyJjaGFubmVscyI6WyJhIl19.eA";
        assert_eq!(channels_of(token), Some(vec!["a".into()]));
        assert_eq!(channels_of("eyJhbGciOiJIUzUxMiJ9.e30.eA"), None);
    }
}
