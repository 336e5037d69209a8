//! `bifrost listen`: prints messages as they arrive, and reconnects after a lost connection.

use std::fs;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};
use serde::Deserialize;

use super::input::{Stdin, keys, server_url};
use super::outcome::{CommandError, Status};
use super::output::Reader;
use super::{claims, output};
use crate::auth;
use crate::cli::action::{Credentials, Listen, OutputFormat};
use crate::cli::client::error::ClientError;
use crate::cli::client::subscription::Subscription;
use crate::cli::client::url::Url;
use crate::cli::client::watch::Watch;
use crate::config::{Keys, Variables};
use crate::net::Shutdown;

/// How long a token is valid. It is used at once, but clocks may differ a little.
const LIFETIME: Duration = Duration::from_secs(60);
/// The pauses between attempts double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Listens until `stop`, until stdout is closed, or until the last of `--count` messages.
///
/// # Errors
/// When the first connection fails, or the server rejects the token or the channels.
pub fn run(variables: &Variables, listen: &Listen, stop: Shutdown) -> Result<Status, CommandError> {
    let mut stdin = Stdin::default();
    let mut listener = Listener {
        token_source: TokenSource::new(&listen.credentials, variables, &mut stdin)?,
        url: server_url(variables)?,
        watch: Watch::new(stop),
        format: listen.format,
        left: listen.count,
        was_confirmed: false,
        next_pause: FIRST_PAUSE,
    };
    loop {
        match listener.listen() {
            Ok(()) | Err(ListenError::Client(ClientError::Cancelled)) => return Ok(Status::Good),
            Err(ListenError::Client(error)) if listener.was_confirmed && error.is_temporary() => {
                if listener.pause(&error).is_err() {
                    return Ok(Status::Good);
                }
            }
            Err(ListenError::Client(error)) => {
                return Err(CommandError::Failed(format!("{}: {error}", listener.url)));
            }
            Err(ListenError::Command(error)) => return Err(error),
        }
    }
}

/// Why listening ended.
enum ListenError {
    Client(ClientError),
    Command(CommandError),
}

impl From<ClientError> for ListenError {
    fn from(error: ClientError) -> ListenError {
        ListenError::Client(error)
    }
}

impl From<CommandError> for ListenError {
    fn from(error: CommandError) -> ListenError {
        ListenError::Command(error)
    }
}

/// Listens over one connection after the other.
struct Listener {
    token_source: TokenSource,
    url: Url,
    watch: Watch,
    format: OutputFormat,
    /// How many messages are still to be printed.
    left: Option<u64>,
    /// Whether a subscription was confirmed once. Until then no error is retried.
    was_confirmed: bool,
    next_pause: Duration,
}

impl Listener {
    /// Listens over one connection; `Ok` when no more messages are wanted.
    fn listen(&mut self) -> Result<(), ListenError> {
        let (token, channels) = self.token_source.token()?;
        let mut subscription = Subscription::open(&self.url, &token, &channels, &self.watch)?;
        if channels.is_empty() {
            self.confirm(&channels);
        }
        let ended = self.print_all(&mut subscription, &channels);
        if matches!(
            ended,
            Ok(()) | Err(ListenError::Client(ClientError::Cancelled))
        ) {
            subscription.close();
        }
        ended
    }

    fn print_all(
        &mut self,
        from: &mut Subscription,
        channels: &[String],
    ) -> Result<(), ListenError> {
        loop {
            let Some(message) = from.receive()? else {
                self.confirm(channels);
                continue;
            };
            let printed = match self.format {
                OutputFormat::Raw => output::line(&message)?,
                OutputFormat::Line => output::line(&on_one_line(&message))?,
            };
            if printed == Reader::Closed {
                return Ok(());
            }
            self.left = self.left.map(|left| left - 1);
            if self.left == Some(0) {
                return Ok(());
            }
        }
    }

    fn confirm(&mut self, channels: &[String]) {
        (self.was_confirmed, self.next_pause) = (true, FIRST_PAUSE);
        output::note(&format!(
            "listening to {} at {}",
            channels.join(", "),
            self.url
        ));
    }

    /// Waits before the next attempt: longer each time, and randomly, so that the clients of
    /// a server that restarts don't come back all at once.
    fn pause(&mut self, why: &ClientError) -> Result<(), ClientError> {
        let pause = self.next_pause.mul_f64(0.5 + 0.5 * random());
        let seconds = pause.as_secs_f64();
        output::note(&format!(
            "{}: {why}; trying again in {seconds:.1}s",
            self.url
        ));
        self.next_pause = (self.next_pause * 2).min(LAST_PAUSE);
        self.watch.pause(Instant::now() + pause)
    }
}

/// A random number from 0 to 1.
fn random() -> f64 {
    let mut byte = [0];
    let _ = getrandom(&mut byte, GetRandomFlags::empty()); // without it all pause as long
    f64::from(byte[0]) / 255.0
}

/// A JSON text on one line. It can have line breaks only outside its strings.
fn on_one_line(message: &str) -> String {
    message.replace(['\n', '\r'], " ")
}

/// Where the token of each connection comes from.
enum TokenSource {
    Signed { keys: Keys, channels: Vec<String> },
    File { path: String, last: Option<String> },
    Fixed(String),
}

impl TokenSource {
    fn new(
        credentials: &Credentials,
        variables: &Variables,
        stdin: &mut Stdin,
    ) -> Result<TokenSource, CommandError> {
        Ok(match credentials {
            Credentials::Channels(channels) => {
                output::note_patterns(channels);
                TokenSource::Signed {
                    keys: keys(variables, stdin)?,
                    channels: channels.clone(),
                }
            }
            Credentials::TokenFile(path) if path == "-" => {
                TokenSource::Fixed(stdin.text("the token")?)
            }
            Credentials::TokenFile(path) => TokenSource::File {
                path: path.clone(),
                last: None,
            },
        })
    }

    /// A token and its channels.
    fn token(&mut self) -> Result<(String, Vec<String>), CommandError> {
        let token = match self {
            TokenSource::Signed { keys, channels } => {
                let token = claims::subscribe(channels, Some(LIFETIME), keys)?;
                return Ok((token, channels.clone()));
            }
            TokenSource::Fixed(token) => token.clone(),
            TokenSource::File { path, last } => read_token(path, last)?,
        };
        let token = token.trim().to_owned();
        match channels_of(&token) {
            Some(channels) => Ok((token, channels)),
            None => Err(CommandError::Failed(
                "the token lists no channels to listen to; `bifrost token inspect` tells what is \
                 in it"
                    .into(),
            )),
        }
    }
}

/// The file's text now. A pipe is empty the second time; its first text is used again.
fn read_token(path: &str, last: &mut Option<String>) -> Result<String, CommandError> {
    let what = format!("can't read the token file {path:?}");
    match (fs::read_to_string(path), &*last) {
        (Ok(token), Some(last)) if token.trim().is_empty() => Ok(last.clone()),
        (Ok(token), _) => {
            *last = Some(token.clone());
            Ok(token)
        }
        (Err(error), _) => Err(CommandError::system(what)(error)),
    }
}

/// The channels in a token, whose signature only the server checks.
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
