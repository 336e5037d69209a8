//! A WebSocket without a client library: sends any frame, valid or not, and reads frames to the bit.

use std::net::{SocketAddr, TcpStream};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use serde_json::Value;

use super::http::Http;

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;

/// The handshake of RFC 6455, section 1.2, with its sample key.
pub const HANDSHAKE: &str = "GET /subscribe HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A frame of the server: the first byte (FIN, RSV, opcode) and the payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// An open WebSocket that answers nothing by itself.
pub struct RawSocket {
    pub http: Http,
}

impl RawSocket {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"))
    }

    /// Connects with a tiny receive buffer: what the test does not read waits at the server.
    pub fn connect_narrow(address: SocketAddr) -> Self {
        Self::over(Self::narrow_stream(address))
    }

    /// A TCP connection with a tiny receive buffer.
    pub fn narrow_stream(address: SocketAddr) -> TcpStream {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        set_socket_recv_buffer_size(&socket, 4096).expect("set the receive buffer");
        connect(&socket, &address).expect("connect");
        TcpStream::from(socket)
    }

    pub fn over(stream: TcpStream) -> Self {
        let mut http = Http::over(stream);
        http.send(HANDSHAKE);
        Self::upgraded(http)
    }

    /// Reads the response to a handshake that was sent.
    #[track_caller]
    pub fn upgraded(mut http: Http) -> Self {
        let response = http.response();
        assert_eq!(response.status, 101, "{} {response:?}", response.text());
        Self { http }
    }

    /// Sends a masked frame.
    pub fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) -> &mut Self {
        self.http.send(masked(first, payload));
        self
    }

    pub fn send_text(&mut self, text: &str) -> &mut Self {
        self.send(TEXT, text)
    }

    pub fn authenticate(&mut self, token: &str) -> &mut Self {
        self.send_text(&event("authenticate", token))
    }

    /// Reads the next frame, and asserts that it is not masked.
    #[track_caller]
    pub fn next(&mut self) -> Frame {
        let head = self.http.take(2);
        assert_eq!(head[1] & 0x80, 0, "a masked frame");
        let length = match head[1] {
            126 => big_endian(&self.http.take(2)),
            127 => big_endian(&self.http.take(8)),
            short => usize::from(short),
        };
        Frame {
            first: head[0],
            payload: self.http.take(length),
        }
    }

    /// Asserts the first byte and the payload of the next frame.
    #[track_caller]
    pub fn expect_frame(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let frame = self.next();
        let told = String::from_utf8_lossy(&frame.payload);
        let wanted = String::from_utf8_lossy(payload.as_ref());
        assert!(
            frame.first == first && frame.payload == payload.as_ref(),
            "{:#04x} {told}\nis not\n{first:#04x} {wanted}",
            frame.first
        );
    }

    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        self.expect_frame(TEXT, text);
    }

    #[track_caller]
    pub fn expect_confirmed(&mut self, channels: &[&str]) {
        for channel in channels {
            self.expect_text(&confirmation(channel));
        }
    }

    #[track_caller]
    pub fn expect_pong(&mut self) {
        self.expect_text(r#"{"event":"pong"}"#);
    }

    /// Asserts that the connection is open and no frame is queued: the next frame answers a ping.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.send_text(r#"{"event":"ping"}"#).expect_pong();
    }

    /// Asserts a close frame with this code; returns its reason. Does not answer it.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let frame = self.next();
        let told = String::from_utf8_lossy(&frame.payload);
        assert_eq!(frame.first, CLOSE, "{frame:?} {told}");
        assert!(frame.payload.len() >= 2, "a close frame without a code");
        assert_eq!(big_endian(&frame.payload[..2]), usize::from(code), "{told}");
        String::from_utf8(frame.payload[2..].to_vec()).expect("reasons are UTF-8")
    }

    /// Asserts that the TCP connection ends without more bytes.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.http.until_end();
        assert!(
            rest.is_empty(),
            "more frames: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }
}

/// A masked frame, as a client has to send it. The mask is fixed, which does not matter to a test.
pub fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let payload = payload.as_ref();
    let mut frame = frame_head(first, 0x80, payload.len() as u64);
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// First byte and length; `mask_bit` is 0x80 for a masked frame, or else 0.
pub fn frame_head(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..=125 => head.push(mask_bit | length as u8),
        126..=0xFFFF => {
            head.push(mask_bit | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head
}

/// The payload of a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// An event as a browser's `JSON.stringify({event, data})` writes it.
pub fn event(name: &str, data: &str) -> String {
    format!(
        r#"{{"event":{},"data":{}}}"#,
        Value::from(name),
        Value::from(data)
    )
}

/// The event that confirms a channel with a plain name.
pub fn confirmation(channel: &str) -> String {
    assert!(
        !channel.contains(['"', '\\']) && channel.is_ascii(),
        "spell this one out"
    );
    format!(r#"{{"event":"subscribed","data":"{{\"channel\":\"{channel}\"}}"}}"#)
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}
