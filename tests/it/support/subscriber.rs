//! A subscriber with tungstenite's client, which answers pings and closes by itself.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

use super::DEADLINE;
use super::raw::{confirmation, event};

pub struct Subscriber {
    socket: WebSocket<TcpStream>,
}

impl Subscriber {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"), address)
    }

    /// Performs the handshake on an open TCP connection.
    pub fn over(stream: TcpStream, address: SocketAddr) -> Self {
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("set a read timeout");
        stream.set_nodelay(true).expect("set nodelay");
        let (socket, _) =
            tungstenite::client(format!("ws://{address}/subscribe"), stream).expect("handshake");
        Self { socket }
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) -> &mut Self {
        self.socket
            .send(Message::text(text))
            .expect("send to the server");
        self
    }

    #[track_caller]
    pub fn authenticate(&mut self, token: &str) {
        self.send(&event("authenticate", token));
    }

    /// Reads the next text frame, skipping pings and pongs.
    #[track_caller]
    pub fn next(&mut self) -> String {
        let started = Instant::now();
        loop {
            match self.read() {
                Ok(Message::Text(text)) => return text.to_string(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    assert!(started.elapsed() < DEADLINE, "only pings come, no text");
                }
                other => panic!("no text frame: {other:?}"),
            }
        }
    }

    /// Reads the next frame; `None` if it is not text.
    pub fn try_next(&mut self) -> Option<String> {
        match self.read() {
            Ok(Message::Text(text)) => Some(text.to_string()),
            _ => None,
        }
    }

    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        assert_eq!(self.next(), text);
    }

    #[track_caller]
    pub fn expect_confirmed(&mut self, channels: &[&str]) {
        for channel in channels {
            self.expect(&confirmation(channel));
        }
    }

    /// Asserts that no frame is queued: the next one answers a ping.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.send(r#"{"event":"ping"}"#);
        self.expect(r#"{"event":"pong"}"#);
    }

    /// Asserts the close frame, answers it, and waits for the TCP connection to end.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16, reason: &str) {
        match self.next_close() {
            Some(frame) => assert_eq!(
                (u16::from(frame.code), frame.reason.as_str()),
                (code, reason)
            ),
            None => panic!("a close frame without a code"),
        }
    }

    #[track_caller]
    fn next_close(&mut self) -> Option<CloseFrame> {
        let started = Instant::now();
        let frame = loop {
            match self.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    assert!(started.elapsed() < DEADLINE, "only pings come, no close");
                }
                other => panic!("no close frame: {other:?}"),
            }
        };
        match self.read() {
            Err(Error::ConnectionClosed) => frame,
            other => panic!("the connection does not end after the close: {other:?}"),
        }
    }

    /// Reads the next message; reads again if a signal interrupts.
    fn read(&mut self) -> tungstenite::Result<Message> {
        loop {
            match self.socket.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Closes the WebSocket, and reads the server's close frame.
    #[track_caller]
    pub fn leave(mut self) {
        self.socket.close(None).expect("send the close frame");
        // Earlier messages may still arrive first.
        let started = Instant::now();
        while let Ok(message) = self.read() {
            assert!(started.elapsed() < DEADLINE, "the connection does not end");
            if let Message::Close(frame) = message {
                assert_eq!(frame, None);
            }
        }
    }
}
