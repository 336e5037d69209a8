//! The frames that the server sends (RFC 6455 §5).
//!
//! Frames to a client are not masked, so header and payload of a message are the same bytes for
//! every subscriber.

use bytes::{BufMut, Bytes, BytesMut};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{self, Frame, FrameHeader};

use crate::hub::Message;
use crate::protocol::close_frame::CloseFrame;

/// The longest header of an unmasked frame, in bytes.
const MAX_HEADER: usize = 10;
/// First byte of an unfragmented close frame: FIN and opcode 8.
const CLOSE: u8 = 0x88;

/// A ping without a payload (RFC 6455 §5.5.2).
pub const PING: Bytes = Bytes::from_static(b"\x89\x00");

/// The close frame of a send queue that has overflowed.
pub const TOO_SLOW: Bytes = Bytes::from_static(b"\x88\x0a\x03\xf5Too slow");

/// One unfragmented text frame.
pub fn text(payload: &str) -> Bytes {
    encode(OpCode::Data(Data::Text), payload.as_bytes())
}

/// Appends a message as one unfragmented text frame: what the hub encodes for this transport.
pub fn append_message(message: &Message, into: &mut BytesMut) {
    append(OpCode::Data(Data::Text), &message.payload, into);
}

/// A close frame (RFC 6455 §5.5.1).
pub fn close(close: CloseFrame) -> Bytes {
    let frame = Frame::close(Some(frame::CloseFrame {
        code: close.code().into(),
        reason: close.reason().into(),
    }));
    encode(OpCode::Control(Control::Close), frame.payload())
}

/// Whether an encoded frame is a close frame.
pub fn is_close(frame: &[u8]) -> bool {
    frame.first() == Some(&CLOSE)
}

fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(MAX_HEADER + payload.len());
    append(opcode, payload, &mut frame);
    frame.freeze()
}

fn append(opcode: OpCode, payload: &[u8], into: &mut BytesMut) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    header
        .format(payload.len() as u64, &mut into.writer())
        .expect("a buffer takes every write");
    into.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lengths_take_the_shortest_header() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(&text(&"x".repeat(126))[..4], b"\x81\x7e\x00\x7e");
        assert_eq!(
            &text(&"x".repeat(65_536))[..10],
            b"\x81\x7f\0\0\0\0\0\x01\0\0"
        );
    }

    #[test]
    fn messages_are_text_frames_one_after_another() {
        let message = |payload: &'static str| Message {
            offset: 1,
            channel: "x".into(),
            payload: payload.into(),
        };
        let mut frames = BytesMut::new();
        append_message(&message("hi"), &mut frames);
        append_message(&message(""), &mut frames);
        assert_eq!(&frames[..], b"\x81\x02hi\x81\x00");
    }

    #[test]
    fn control_frames_are_those_of_the_rfc() {
        assert_eq!(PING, encode(OpCode::Control(Control::Ping), b""));
        let close = close(CloseFrame::TooSlow);
        assert_eq!(&close[..], b"\x88\x0a\x03\xf5Too slow");
        assert_eq!(TOO_SLOW, close);
        assert!(is_close(&close));
        assert!(!is_close(&PING) && !is_close(&[]));
    }
}
