//! The client side of a subscription (RFC 6455 §4.1): connects, authenticates with a token, and
//! receives messages. It waits only in `poll`, so that it can be cancelled.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use serde::Deserialize;
use tungstenite::client::client_with_config;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, HandshakeError, Message, Utf8Bytes, WebSocket};

use super::error::ClientError;
use super::url::Url;
use super::watch::Watch;
use crate::net::dial::{DialError, dial};
use crate::net::poll::{self, Wait};

/// Time limit of the connection, of the handshake and of the confirmations, each.
const OPENING_LIMIT: Duration = Duration::from_secs(10);
/// After this silence the server is sent a ping; after twice as much, it is taken for gone.
const SILENCE: Duration = Duration::from_secs(20);
/// Time limit of the server's half of the closing handshake.
const CLOSING_LIMIT: Duration = Duration::from_secs(1);
/// Longest message, in bytes: far above what a server takes unless configured otherwise.
const MAX_MESSAGE: usize = 64 << 20;

/// An open subscription.
pub struct Subscription {
    socket: WebSocket<TcpStream>,
    watch: Watch,
    /// Channels whose confirmation has not come yet.
    unconfirmed: VecDeque<String>,
    confirm_by: Instant,
    /// When something was last received.
    last_received: Instant,
    /// Whether a ping has been sent since then.
    is_pinged: bool,
}

impl Subscription {
    /// Connects and authenticates with a token for these channels.
    ///
    /// # Errors
    /// Why there is no subscription.
    pub fn open(
        url: &Url,
        token: &str,
        channels: &[String],
        watch: &Watch,
    ) -> Result<Subscription, ClientError> {
        let stream = connect(url, watch)?;
        let socket = handshake(url, stream, watch)?;
        let mut subscription = Subscription {
            socket,
            watch: watch.clone(),
            unconfirmed: channels.iter().cloned().collect(),
            confirm_by: Instant::now() + OPENING_LIMIT,
            last_received: Instant::now(),
            is_pinged: false,
        };
        let authenticate = serde_json::json!({ "event": "authenticate", "data": token });
        subscription.send(Message::text(authenticate.to_string()))?;
        Ok(subscription)
    }

    /// Whether the server has confirmed every channel.
    pub fn is_confirmed(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// Waits for a message; `None` when the last channel has been confirmed.
    ///
    /// # Errors
    /// Why the subscription is over.
    pub fn receive(&mut self) -> Result<Option<Utf8Bytes>, ClientError> {
        loop {
            self.watch.check()?;
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.note_received();
                    if !self.confirms(&text) {
                        return Ok(Some(text));
                    }
                    if self.is_confirmed() {
                        return Ok(None);
                    }
                }
                Ok(Message::Close(frame)) => {
                    let _ = self.socket.flush(); // our half of the closing handshake; the peer may be gone
                    return Err(close_error(frame));
                }
                Ok(_) => self.note_received(),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// Closes the connection with a closing handshake.
    pub fn close(mut self) {
        let deadline = Instant::now() + CLOSING_LIMIT;
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::default(),
        };
        let _ = self.socket.close(Some(frame)); // the reads below send the rest
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

    fn note_received(&mut self) {
        (self.last_received, self.is_pinged) = (Instant::now(), false);
    }

    /// Whether a text is the next confirmation that is due; counts it if so.
    fn confirms(&mut self, text: &str) -> bool {
        let due = self.unconfirmed.front();
        let is_due = due.is_some_and(|channel| confirmed(text).as_ref() == Some(channel));
        if is_due {
            self.unconfirmed.pop_front();
        }
        is_due
    }

    fn wait(&mut self) -> Result<(), ClientError> {
        let silence_limit = if self.is_pinged { 2 * SILENCE } else { SILENCE };
        let mut deadline = self.last_received + silence_limit;
        if !self.is_confirmed() {
            deadline = deadline.min(self.confirm_by);
        }
        let mut interest = PollFlags::IN;
        match self.socket.flush() {
            Ok(()) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                interest |= PollFlags::OUT;
            }
            Err(error) => return Err(lost(error)),
        }
        let fd = PollFd::new(self.socket.get_ref(), interest);
        match self.watch.wait(fd, deadline)? {
            Wait::Ready => Ok(()),
            Wait::TimedOut if !self.is_confirmed() && Instant::now() >= self.confirm_by => {
                Err(ClientError::Lost("the channels were not confirmed".into()))
            }
            Wait::TimedOut if self.is_pinged => {
                Err(ClientError::Lost("the server is silent".into()))
            }
            Wait::TimedOut => {
                self.is_pinged = true;
                self.send(Message::Ping(tungstenite::Bytes::new()))
            }
        }
    }

    /// Sends a message; what does not fit into the socket's buffer is sent by a later flush.
    fn send(&mut self, message: Message) -> Result<(), ClientError> {
        match self.socket.send(message) {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

fn connect(url: &Url, watch: &Watch) -> Result<TcpStream, ClientError> {
    let addresses = url.addresses().map_err(ClientError::Unreachable)?;
    dial(&addresses, OPENING_LIMIT, |fd, deadline| {
        watch.wait(fd, deadline)
    })
    .map_err(|error| match error {
        DialError::Failed(error) => ClientError::Unreachable(error),
        DialError::Interrupted(error) => error,
    })
}

fn handshake(
    url: &Url,
    stream: TcpStream,
    watch: &Watch,
) -> Result<WebSocket<TcpStream>, ClientError> {
    let deadline = Instant::now() + OPENING_LIMIT;
    // A second handle to wait on: the handshake owns the stream.
    let handle = stream.try_clone().map_err(ClientError::Unreachable)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut step = client_with_config(url.websocket(), stream, Some(config));
    loop {
        match step {
            Ok((socket, _)) => return Ok(socket),
            Err(HandshakeError::Failure(error)) => return Err(handshake_error(error)),
            Err(HandshakeError::Interrupted(half)) => {
                let fd = PollFd::new(&handle, PollFlags::IN);
                if watch.wait(fd, deadline)? == Wait::TimedOut {
                    return Err(ClientError::Broken(ErrorKind::TimedOut.into()));
                }
                step = half.handshake();
            }
        }
    }
}

fn handshake_error(error: Error) -> ClientError {
    let Error::Http(response) = error else {
        return lost(error);
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
        408 | 429 | 500.. => ClientError::Lost(what),
        404 => ClientError::Rejected(format!("{what}; is the URL that of a Bifrost server?")),
        _ => ClientError::Rejected(what),
    }
}

fn close_error(frame: Option<CloseFrame>) -> ClientError {
    let Some(CloseFrame { code, reason }) = frame else {
        return ClientError::Lost("the server closed the connection".into());
    };
    match u16::from(code) {
        4001 => ClientError::Rejected(format!(
            "the server refused the token (4001 {reason}): it has expired, or the server's secret, \
             JWT_ALGORITHM or clock differs; run `bifrost token inspect` on that machine"
        )),
        1008 => ClientError::Rejected(format!(
            "the server refused the subscription (1008 {reason})"
        )),
        code => ClientError::Lost(format!(
            "the server closed the connection ({code} {reason})"
        )),
    }
}

fn lost(error: Error) -> ClientError {
    match error {
        Error::Io(error) => ClientError::Broken(error),
        Error::ConnectionClosed | Error::AlreadyClosed => {
            ClientError::Lost("the connection was closed".into())
        }
        Error::Protocol(error) => ClientError::Protocol(format!(
            "the server there is no WebSocket server of Bifrost: {error}"
        )),
        error => ClientError::Lost(error.to_string()),
    }
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
            close_error(Some(CloseFrame {
                code: code.into(),
                reason: "why".into(),
            }))
        };
        for code in [4001, 1008] {
            assert!(matches!(by(code), ClientError::Rejected(why) if why.contains("why")));
        }
        for code in [1000, 1001, 1012, 1013, 4002] {
            assert!(matches!(by(code), ClientError::Lost(_)));
        }
        assert!(matches!(close_error(None), ClientError::Lost(_)));
    }
}
