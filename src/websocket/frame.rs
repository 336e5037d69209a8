//! The frames that the server sends, encoded once (RFC 6455 §5).
//!
//! Frames to a client are not masked, so header and payload of a broadcast are the
//! same bytes for every subscriber.

use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

/// The longest header of an unmasked frame, in bytes.
const MAX_HEADER: usize = 10;
/// First byte of an unfragmented close frame: FIN and opcode 8.
const CLOSE: u8 = 0x88;

/// One unfragmented text frame.
pub fn text(payload: &str) -> Bytes {
    encode(OpCode::Data(Data::Text), payload.as_bytes())
}

/// A ping without a payload (RFC 6455 §5.5.2).
pub fn ping() -> Bytes {
    encode(OpCode::Control(Control::Ping), &[])
}

/// A close frame; `reason` has at most 123 bytes (RFC 6455 §5.5.1).
pub fn close(code: u16, reason: &'static str) -> Bytes {
    let frame = Frame::close(Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }));
    encode(OpCode::Control(Control::Close), frame.payload())
}

/// Whether an encoded frame is a close frame.
pub fn is_close(frame: &[u8]) -> bool {
    frame.first() == Some(&CLOSE)
}

fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
    header
        .format(payload.len() as u64, &mut frame)
        .expect("a vector takes every write");
    frame.extend_from_slice(payload);
    frame.into()
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
    fn control_frames_are_as_the_rfc_has_them() {
        assert_eq!(&ping()[..], b"\x89\x00");
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
        assert!(is_close(&close(1012, "")));
        assert!(!is_close(&ping()) && !is_close(&[]));
    }
}
