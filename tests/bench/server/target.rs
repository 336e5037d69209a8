//! The servers that can be measured, and how their requests differ.

use std::rc::Rc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::client::frame;
use crate::client::swarm::Handshake;

/// The secret shared with Bifrost; as long as the hash, which its documentation requires.
pub const SECRET: &str = "a-secret-for-the-benchmark-that-is-as-long-as-the-hash-64-bytes!";

/// A server to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Bifrost, the server under test.
    Bifrost,
    /// The reference server, which is part of this program.
    Reference,
    /// nginx with the nchan module.
    Nchan {
        /// Its worker processes.
        workers: u8,
    },
    /// Node with the `ws` package.
    NodeWs,
}

/// Signs tokens, as an application does.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

#[derive(Serialize)]
struct Subscription<'a> {
    channels: &'a [String],
}

#[derive(Serialize)]
struct Broadcast<'a> {
    channel: &'a str,
    message: &'a RawValue,
}

impl Signer {
    /// A signer with the benchmark's secret.
    pub fn new() -> Signer {
        Signer {
            key: EncodingKey::from_secret(SECRET.as_bytes()),
            header: Header::new(Algorithm::HS512),
        }
    }

    fn sign(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.key).expect("our own claims can be signed")
    }
}

impl Target {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Target::Bifrost => "bifrost",
            Target::Reference => "reference",
            Target::Nchan { workers: 1 } => "nchan, 1 worker",
            Target::Nchan { .. } => "nchan, 2 workers",
            Target::NodeWs => "node ws",
        }
    }

    /// What a subscriber of these channels sends to connect and subscribe.
    pub fn handshake(self, signer: &Signer, channels: &[String]) -> Handshake {
        let path = match self {
            Target::Nchan { .. } => format!("/subscribe?channel={}", channels.join(",")),
            _ => "/subscribe".to_owned(),
        };
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let authenticate = self.authenticate(signer, channels);
        Handshake {
            upgrade: Rc::from(upgrade.into_bytes()),
            confirmations: if authenticate.is_empty() {
                0
            } else {
                channels.len()
            },
            authenticate: Rc::from(authenticate),
        }
    }

    /// The frame that subscribes to channels: with a token or, for servers that verify none, with
    /// the names in clear text, padded to the token's length.
    pub fn authenticate(self, signer: &Signer, channels: &[String]) -> Vec<u8> {
        let token = signer.sign(&Subscription { channels });
        let data = match self {
            Target::Bifrost => token,
            Target::Reference | Target::NodeWs => {
                format!("{:<width$}", channels.join(","), width = token.len())
            }
            Target::Nchan { .. } => return Vec::new(),
        };
        let text = format!(r#"{{"event":"authenticate","data":"{data}"}}"#);
        frame::masked(frame::TEXT, text.as_bytes())
    }

    /// The request that broadcasts a message.
    pub fn broadcast(self, signer: &Signer, channel: &str, message: &[u8]) -> Vec<u8> {
        let token = signer.sign(&Broadcast {
            channel,
            message: serde_json::from_slice(message).expect("our own messages are JSON"),
        });
        let signed = format!(r#"{{"token":"{token}"}}"#).into_bytes();
        match self {
            Target::Bifrost => post("/broadcast", &signed),
            Target::Reference | Target::NodeWs => {
                post("/broadcast", &clear_text(channel, message, signed.len()))
            }
            Target::Nchan { .. } => post(&format!("/broadcast?channel={channel}"), message),
        }
    }
}

/// `channel size`, a line end, the message, and spaces up to the length of the signed body, so
/// that requests to all servers are equally long.
fn clear_text(channel: &str, message: &[u8], length: usize) -> Vec<u8> {
    let mut body = format!("{channel} {}\n", message.len()).into_bytes();
    body.extend_from_slice(message);
    body.resize(length.max(body.len()), b' ');
    body
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
