//! A message on its way to subscribers, and its encodings.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Room for the framing of one message, in bytes: that of the longest WebSocket header.
const FRAMING: usize = 10;

/// A message of one channel.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its number in one sequence over all channels, from 1; 0 until its batch is flushed.
    pub offset: u64,
    /// The name of its channel.
    pub channel: Arc<str>,
    /// Its text, as the application wrote it.
    pub payload: Bytes,
}

impl Message {
    /// About the size of its encoding, in bytes; not less, with the WebSocket framing.
    pub fn size(&self) -> usize {
        self.payload.len() + FRAMING
    }
}

/// Appends a message in the form that one transport sends. Each transport has one such function.
pub type Encode = fn(&Message, &mut BytesMut);

/// The messages of one batch, encoded when a subscriber first needs it, and once for each
/// transport that has subscribers.
#[derive(Debug)]
pub struct Encodings<'a> {
    messages: &'a [Message],
    encoded: Vec<(Encode, Bytes)>,
}

impl<'a> Encodings<'a> {
    /// Encodings of these messages, of which none is made yet.
    pub fn new(messages: &'a [Message]) -> Encodings<'a> {
        Encodings {
            messages,
            encoded: Vec::new(),
        }
    }

    /// All messages, one after the other, in the form of one transport.
    pub fn get(&mut self, encode: Encode) -> &Bytes {
        // Two addresses of one function would only mean that it encodes twice.
        let known = |(other, _): &(Encode, Bytes)| std::ptr::fn_addr_eq(*other, encode);
        let index = match self.encoded.iter().position(known) {
            Some(index) => index,
            None => {
                self.encoded.push((encode, self.encode_all(encode)));
                self.encoded.len() - 1
            }
        };
        &self.encoded[index].1
    }

    fn encode_all(&self, encode: Encode) -> Bytes {
        let size = self.messages.iter().map(Message::size).sum();
        let mut all = BytesMut::with_capacity(size);
        for message in self.messages {
            encode(message, &mut all);
        }
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(message: &Message, into: &mut BytesMut) {
        into.extend_from_slice(&message.payload);
    }

    fn numbered(message: &Message, into: &mut BytesMut) {
        into.extend_from_slice(format!("{}:", message.offset).as_bytes());
        into.extend_from_slice(&message.payload);
    }

    #[test]
    fn each_transport_has_its_own_encoding_of_the_batch() {
        let message = |offset, text: &'static str| Message {
            offset,
            channel: "news".into(),
            payload: Bytes::from_static(text.as_bytes()),
        };
        let messages = [message(7, "a"), message(8, "b")];
        let mut encodings = Encodings::new(&messages);
        assert_eq!(encodings.get(plain), "ab");
        assert_eq!(encodings.get(numbered), "7:a8:b");
        let first = encodings.get(plain).clone();
        assert_eq!(first.as_ptr(), encodings.get(plain).as_ptr(), "made once");
    }
}
