//! A listening server, and the requests and connections that tests make to it.

use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use serde_json::Value;

use super::eventually;
use super::http::{Http, Response};
use super::process::{Launch, Process};
use super::raw::{HANDSHAKE, RawSocket};
use super::subscriber::Subscriber;
use super::token;

/// A running server, and the address from its log.
pub struct Server {
    process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        Launch::serve().start()
    }

    /// Starts a server with these settings besides the defaults.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        settings
            .iter()
            .fold(Launch::serve(), |launch, (name, value)| {
                launch.env(name, value)
            })
            .start()
    }

    /// A command with the address and the secret of this server.
    pub fn command(&self, arguments: &[&str]) -> Launch {
        Launch::bare()
            .env("JWT_SECRET", token::SECRET)
            .env("BIFROST_URL", format!("http://{}", self.address))
            .args(arguments)
    }

    /// Opens a connection for plain HTTP.
    pub fn http(&self) -> Http {
        Http::connect(self.address)
    }

    /// Sends a request, byte for byte, on a new connection; returns the response.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.http().send(request).response()
    }

    pub fn get(&self, target: &str) -> Response {
        self.ask(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Posts a body with its length.
    pub fn post(&self, target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask(post(target, content_type, body))
    }

    /// Posts a broadcast as an application does: `{"token":"<JWT>"}`.
    pub fn post_token(&self, token: &str) -> Response {
        self.post(
            "/broadcast",
            "application/json",
            format!(r#"{{"token":"{token}"}}"#),
        )
    }

    /// Posts a signed message for a channel; the token contains the text of `message` unchanged.
    pub fn post_broadcast(&self, channel: &str, message: &str) -> Response {
        self.post_token(&token::publisher(channel, message))
    }

    /// Broadcasts, asserts success, and returns the number of deliveries.
    #[track_caller]
    pub fn broadcast(&self, channel: &str, message: &str) -> u64 {
        deliveries(&self.post_broadcast(channel, message))
    }

    /// Opens a WebSocket, not yet authenticated.
    pub fn connect(&self) -> Subscriber {
        Subscriber::connect(self.address)
    }

    /// Opens a WebSocket and subscribes to these channels.
    pub fn subscriber(&self, channels: &[&str]) -> Subscriber {
        let mut subscriber = self.connect();
        subscriber.authenticate(&token::subscriber(channels));
        subscriber.expect_confirmed(channels);
        subscriber
    }

    /// Opens a WebSocket without a client library.
    pub fn raw(&self) -> RawSocket {
        RawSocket::connect(self.address)
    }

    /// Opens a WebSocket as soon as the server, which may be full, accepts it.
    pub fn raw_when_free(&self) -> RawSocket {
        eventually("a WebSocket is accepted", || {
            let mut http = self.http();
            let sent = http.try_send(HANDSHAKE);
            let response = sent.then(|| http.try_response()).flatten()?;
            (response.status == 101).then_some(RawSocket { http })
        })
    }

    /// Like `subscriber`, without a client library: pings and closes are not answered.
    pub fn raw_subscriber(&self, channels: &[&str]) -> RawSocket {
        let mut raw = self.raw();
        raw.authenticate(&token::subscriber(channels));
        raw.expect_confirmed(channels);
        raw
    }

    /// A subscriber with a tiny receive buffer: what the test does not read waits at the server.
    pub fn narrow_subscriber(&self, channels: &[&str]) -> RawSocket {
        let mut raw = RawSocket::connect_narrow(self.address);
        raw.authenticate(&token::subscriber(channels));
        raw.expect_confirmed(channels);
        raw
    }

    pub fn stats(&self) -> Stats {
        let info = self.get("/info.json").json();
        let number = |key: &str| {
            info["stats"][key]
                .as_u64()
                .unwrap_or_else(|| panic!("no {key}: {info}"))
        };
        Stats {
            deliveries: number("deliveries"),
            connected: number("connected"),
            info: info.clone(),
        }
    }

    /// Waits until the server counts this many WebSockets.
    pub fn wait_connected(&self, count: u64) {
        eventually(&format!("connected is {count}"), || {
            (self.stats().connected == count).then_some(())
        });
    }

    /// Waits until new connections are refused.
    pub fn wait_refusing(&self) {
        eventually("connections are refused", || {
            TcpStream::connect(self.address).err()
        });
    }
}

/// The counts of `/info.json`.
pub struct Stats {
    pub deliveries: u64,
    pub connected: u64,
    pub info: Value,
}

impl Launch {
    /// Starts the process and waits for the log line with its address.
    pub fn start(self) -> Server {
        let process = self.spawn();
        let address = process.stderr.wait_for("listening addr=", |line| {
            let (_, rest) = line.split_once("listening addr=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        Server { process, address }
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The bytes of a `POST` request with `Content-Length`.
pub fn post(target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Asserts the exact response to a successful broadcast; returns the number of deliveries in it.
#[track_caller]
pub fn deliveries(response: &Response) -> u64 {
    let body = response.text();
    assert_eq!(response.status, 200, "{body}");
    let number = body
        .strip_prefix(r#"{"message":"Success","deliveries":"#)
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_else(|| panic!("not the promised answer: {body}"));
    response.expect_json(200, body);
    number.parse().expect("a number of deliveries")
}
