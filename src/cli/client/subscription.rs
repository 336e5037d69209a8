//! A subscriber's connection, seen from the client (RFC 6455 §4.1): it connects, shows a
//! token, and gives what arrives. It waits in `poll` alone, so that it can be stopped.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use serde::Deserialize;
use tungstenite::client::client_with_config;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, HandshakeError, Message, Utf8Bytes, WebSocket};

use super::{Trouble, Url, Watch};
use crate::net::poll::{self, Wait};

/// For the connection, the handshake and the confirmations, each.
const OPENING_LIMIT: Duration = Duration::from_secs(10);
/// A server that says nothing for so long is asked whether it is there; for twice so long,
/// it is gone.
const SILENCE: Duration = Duration::from_secs(20);
/// For the server's half of an orderly end.
const CLOSING_LIMIT: Duration = Duration::from_secs(1);
/// Longest message, in bytes: far above what a server takes unless configured otherwise.
const MAX_MESSAGE: usize = 64 << 20;

/// Why a subscription is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// We are asked to stop, or nobody reads any longer.
    Wanted,
    /// The server does not want us, and will not the next time.
    Refused(String),
    /// Something went wrong that may be over in a while.
    Lost(String),
}

/// An open subscription.
pub struct Subscription {
    socket: WebSocket<TcpStream>,
    watch: Watch,
    /// Channels whose confirmation has not come yet.
    unconfirmed: VecDeque<String>,
    confirm_by: Instant,
    heard: Instant,
    /// Whether the server was asked if it is there, since it was heard last.
    asked: bool,
}

impl Subscription {
    /// Connects and shows a token for these channels.
    ///
    /// # Errors
    /// Why it did not come about.
    pub fn open(
        url: &Url,
        token: &str,
        channels: &[String],
        watch: &Watch,
    ) -> Result<Subscription, Ended> {
        let stream = dial_any(url, watch)?;
        let socket = shake_hands(url, stream, watch)?;
        let mut subscription = Subscription {
            socket,
            watch: watch.clone(),
            unconfirmed: channels.iter().cloned().collect(),
            confirm_by: Instant::now() + OPENING_LIMIT,
            heard: Instant::now(),
            asked: false,
        };
        let shown = serde_json::json!({ "event": "authenticate", "data": token });
        subscription.send(Message::text(shown.to_string()))?;
        Ok(subscription)
    }

    /// Whether the server has confirmed every channel.
    pub fn is_confirmed(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// Waits for a message, or until the last confirmation is there: then nothing.
    ///
    /// # Errors
    /// How it ended.
    pub fn receive(&mut self) -> Result<Option<Utf8Bytes>, Ended> {
        loop {
            self.watch.check()?;
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.hear();
                    if !self.confirms(&text) {
                        return Ok(Some(text));
                    }
                    if self.is_confirmed() {
                        return Ok(None);
                    }
                }
                Ok(Message::Close(farewell)) => {
                    let _ = self.socket.flush(); // our half of the farewell; it may be gone
                    return Err(ended_by(farewell));
                }
                Ok(_) => self.hear(),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    /// Takes leave in an orderly way.
    pub fn close(mut self) {
        let deadline = Instant::now() + CLOSING_LIMIT;
        let farewell = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::default(),
        };
        let _ = self.socket.close(Some(farewell)); // what can't be sent now goes with a read
        loop {
            match self.socket.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.socket.get_ref(), PollFlags::IN)];
                    if !matches!(poll::wait(&mut fds, Some(deadline)), Ok(Wait::Ready)) {
                        return;
                    }
                }
                Err(_) => return,
                Ok(_) if Instant::now() > deadline => return,
                Ok(_) => {}
            }
        }
    }

    fn hear(&mut self) {
        (self.heard, self.asked) = (Instant::now(), false);
    }

    /// Whether a text is the confirmation that is due; takes it for that only once.
    fn confirms(&mut self, text: &str) -> bool {
        let due = self.unconfirmed.front();
        let is_due = due.is_some_and(|channel| confirmed(text).as_ref() == Some(channel));
        if is_due {
            self.unconfirmed.pop_front();
        }
        is_due
    }

    fn wait(&mut self) -> Result<(), Ended> {
        let patience = if self.asked { 2 * SILENCE } else { SILENCE };
        let mut deadline = self.heard + patience;
        if !self.is_confirmed() {
            deadline = deadline.min(self.confirm_by);
        }
        let mut interest = PollFlags::IN;
        match self.socket.flush() {
            Ok(()) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                interest |= PollFlags::OUT;
            }
            Err(error) => return Err(lost(&error)),
        }
        match self.watch.wait(self.socket.get_ref(), interest, deadline)? {
            Wait::Ready => Ok(()),
            Wait::TimedOut if !self.is_confirmed() && Instant::now() >= self.confirm_by => {
                Err(Ended::Lost("the server does not confirm".into()))
            }
            Wait::TimedOut if self.asked => Err(Ended::Lost("the server is silent".into())),
            Wait::TimedOut => {
                self.asked = true;
                self.send(Message::Ping(tungstenite::Bytes::new()))
            }
        }
    }

    /// What does not fit in the socket waits, and goes when there is room.
    fn send(&mut self, message: Message) -> Result<(), Ended> {
        match self.socket.send(message) {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(lost(&error)),
        }
    }
}

fn dial_any(url: &Url, watch: &Watch) -> Result<TcpStream, Ended> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in url.addresses().map_err(unreachable)? {
        match dial(&address, watch)? {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn unreachable(error: io::Error) -> Ended {
    Ended::Lost(Trouble::Unreachable(error).to_string())
}

/// The outer error ends everything; after the inner one, another address may do.
fn dial(address: &SocketAddr, watch: &Watch) -> Result<io::Result<TcpStream>, Ended> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = match socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error.into())),
    };
    let outcome = match connect(&socket, address) {
        Err(Errno::INPROGRESS) => {
            let deadline = Instant::now() + OPENING_LIMIT;
            match watch.wait(&socket, PollFlags::OUT, deadline)? {
                Wait::Ready => sockopt::socket_error(&socket).and_then(|outcome| outcome),
                Wait::TimedOut => Err(Errno::TIMEDOUT),
            }
        }
        outcome => outcome,
    };
    Ok(outcome
        .map(|()| TcpStream::from(socket))
        .map_err(Into::into))
}

fn shake_hands(url: &Url, stream: TcpStream, watch: &Watch) -> Result<WebSocket<TcpStream>, Ended> {
    let deadline = Instant::now() + OPENING_LIMIT;
    // Waiting goes through a handle of its own: the handshake keeps the stream.
    let handle = stream.try_clone().map_err(unreachable)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut step = client_with_config(url.websocket(), stream, Some(config));
    loop {
        match step {
            Ok((socket, _)) => return Ok(socket),
            Err(HandshakeError::Failure(error)) => return Err(turned_down(error)),
            Err(HandshakeError::Interrupted(half)) => {
                if watch.wait(&handle, PollFlags::IN, deadline)? == Wait::TimedOut {
                    return Err(Ended::Lost("no answer in time".into()));
                }
                step = half.handshake();
            }
        }
    }
}

fn turned_down(error: Error) -> Ended {
    let Error::Http(response) = error else {
        return lost(&error);
    };
    #[derive(Deserialize)]
    struct ErrorBody {
        error: String,
    }
    let body = response.body().as_deref().unwrap_or_default();
    let reason = serde_json::from_slice(body).map(|ErrorBody { error }| format!(": {error}"));
    let status = response.status().as_u16();
    let what = format!("answered {status}{}", reason.unwrap_or_default());
    match status {
        // Request Timeout, Too Many Requests: another time, perhaps.
        408 | 429 | 500.. => Ended::Lost(what),
        404 => Ended::Refused(format!("{what}; is the URL that of a Bifrost server?")),
        _ => Ended::Refused(what),
    }
}

fn ended_by(farewell: Option<CloseFrame>) -> Ended {
    let Some(CloseFrame { code, reason }) = farewell else {
        return Ended::Lost("the server closed the connection".into());
    };
    match u16::from(code) {
        4001 => Ended::Refused(format!(
            "the server refused the token (4001 {reason}): it has expired, or the server's secret, \
             JWT_ALGORITHM or clock is another; `bifrost token inspect` on that machine tells"
        )),
        1008 => Ended::Refused(format!("the server refused the channels (1008 {reason})")),
        code => Ended::Lost(format!(
            "the server closed the connection ({code} {reason})"
        )),
    }
}

fn lost(error: &Error) -> Ended {
    Ended::Lost(match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the connection was closed".into(),
        Error::Io(error) => format!("the connection broke: {error}"),
        Error::Protocol(error) => format!("what answers is no WebSocket server of ours: {error}"),
        error => error.to_string(),
    })
}

/// The channel in `{"event":"subscribed","data":"{\"channel\":\"…\"}"}`.
fn confirmed(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Confirmation {
        event: String,
        data: String,
    }
    #[derive(Deserialize)]
    struct Data {
        channel: String,
    }
    let confirmation: Confirmation = serde_json::from_str(text).ok()?;
    let data: Data = serde_json::from_str(&confirmation.data).ok()?;
    (confirmation.event == "subscribed").then_some(data.channel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_confirmation_names_its_channel(channel in "\\PC{1,20}") {
            let text = event::subscribed(&channel);
            prop_assert_eq!(confirmed(&text), Some(channel));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-e1\\\\ ]{0,60}") {
            let _ = confirmed(&text);
        }
    }

    #[test]
    fn other_messages_confirm_nothing() {
        for text in [
            r#"{"event":"subscribed"}"#,
            r#"{"event":"subscribed","data":{"channel":"a"}}"#,
            r#"{"event":"new","data":"{\"channel\":\"a\"}"}"#,
            "x",
        ] {
            assert_eq!(confirmed(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_will_not_change_is_final() {
        let by = |code: u16| {
            ended_by(Some(CloseFrame {
                code: code.into(),
                reason: "why".into(),
            }))
        };
        for code in [4001, 1008] {
            assert!(matches!(by(code), Ended::Refused(why) if why.contains("why")));
        }
        for code in [1000, 1001, 1012, 1013, 4002] {
            assert!(matches!(by(code), Ended::Lost(_)));
        }
        assert!(matches!(ended_by(None), Ended::Lost(_)));
    }
}
