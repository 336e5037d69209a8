//! Follows the frames that arrive (RFC 6455 §5.2), without their content.
//!
//! tungstenite parses them, and does not say how many it has seen inside one message, how much it
//! holds of a message that is not whole, and when it holds nothing. The session limits by these.

/// Longest header of a frame: two bytes, a length of eight, and a mask of four.
const MAX_HEADER: usize = 14;
/// Header without length and mask.
const BASE_HEADER: usize = 2;
const FIN: u8 = 0x80;
/// Set in the opcode of close, ping and pong.
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;

/// What has arrived on one connection.
#[derive(Debug, Default)]
pub struct FrameMeter {
    header: [u8; MAX_HEADER],
    /// Bytes of `header` that have arrived; none while a payload arrives.
    header_len: usize,
    /// The payload of the frame that arrives, in bytes.
    payload: u64,
    /// What is missing of it.
    missing: u64,
    /// The payload of the message's frames that are whole.
    fragments: u64,
    /// Whether a message has begun whose last frame has not arrived.
    in_message: bool,
    frames: u32,
    largest: u64,
}

impl FrameMeter {
    /// Follows bytes, in the order in which they arrive.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = self.missing.min(bytes.len() as u64);
                self.missing -= taken;
                bytes = &bytes[taken as usize..];
            } else {
                bytes = self.feed_header(bytes);
            }
            if self.missing == 0 && self.header_len == 0 {
                self.end_frame();
            }
        }
    }

    /// Whether nothing of a frame or of a message has arrived that is not whole.
    pub fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.missing == 0 && !self.in_message
    }

    /// About what the parser holds for a message that is not whole, in bytes: of the frame that
    /// arrives its announced size, which is allocated at once, and of those before twice their
    /// size, since they are joined in a buffer that doubles.
    pub fn held(&self) -> usize {
        let frame = if self.missing > 0 { self.payload } else { 0 };
        let held = (2 * self.fragments).saturating_add(frame);
        usize::try_from(held).unwrap_or(usize::MAX)
    }

    /// The frames that have begun since the last call.
    pub fn take_frames(&mut self) -> u32 {
        std::mem::take(&mut self.frames)
    }

    /// The largest frame since the last call, in bytes.
    pub fn take_largest(&mut self) -> u64 {
        std::mem::take(&mut self.largest)
    }

    /// Takes bytes of a header; returns the others.
    fn feed_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let needed = self.header_size() - self.header_len;
        let (taken, rest) = bytes.split_at(needed.min(bytes.len()));
        self.header[self.header_len..][..taken.len()].copy_from_slice(taken);
        self.header_len += taken.len();
        if self.header_len >= BASE_HEADER && self.header_len == self.header_size() {
            self.begin_payload();
        }
        rest
    }

    /// The size of the header, as far as its bytes tell.
    fn header_size(&self) -> usize {
        if self.header_len < BASE_HEADER {
            return BASE_HEADER;
        }
        let mask = if self.header[1] & MASKED == 0 { 0 } else { 4 };
        BASE_HEADER + self.length_size() + mask
    }

    /// The size of the extended payload length.
    fn length_size(&self) -> usize {
        match self.header[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn begin_payload(&mut self) {
        let extended = &self.header[BASE_HEADER..][..self.length_size()];
        self.payload = match extended {
            [] => u64::from(self.header[1] & !MASKED),
            bytes => bytes
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.missing = self.payload;
        self.header_len = 0;
        self.frames = self.frames.saturating_add(1);
        self.largest = self.largest.max(self.payload);
        if self.header[0] & CONTROL == 0 {
            self.in_message = true;
        }
    }

    /// Notes that the frame has arrived whole, if one has begun.
    fn end_frame(&mut self) {
        if self.header[0] & CONTROL != 0 {
            return;
        }
        if self.header[0] & FIN == 0 {
            self.fragments = self.fragments.saturating_add(self.payload);
        } else {
            self.fragments = 0;
            self.in_message = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{self, ErrorKind, Read, Write};
    use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
    use tungstenite::{Error, Message};

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            size @ 0..126 => frame.push(MASKED | size as u8),
            size @ 126..65536 => {
                frame.push(MASKED | 126);
                frame.extend((size as u16).to_be_bytes());
            }
            size => {
                frame.push(MASKED | 127);
                frame.extend((size as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]); // a mask that changes nothing
        frame.extend(payload);
        frame
    }

    fn fed(frames: &[Vec<u8>]) -> FrameMeter {
        let mut meter = FrameMeter::default();
        for byte in frames.concat() {
            meter.feed(&[byte]);
        }
        meter
    }

    #[test]
    fn frames_and_what_is_held_of_a_message_are_counted() {
        let mut meter = fed(&[masked(0x81, b"hi"), masked(0x89, b"")]);
        assert!(meter.is_between_messages());
        assert_eq!((meter.take_frames(), meter.take_frames()), (2, 0));
        meter.feed(&masked(0x01, &[b'x'; 1000]));
        assert!(!meter.is_between_messages());
        assert_eq!(meter.held(), 2_000);
        meter.feed(&masked(0x8a, b"pong"));
        assert_eq!((meter.held(), meter.take_frames()), (2_000, 2));
        let last = masked(0x80, &[b'x'; 70_000]);
        meter.feed(&last[..100]);
        assert_eq!(meter.held(), 72_000);
        meter.feed(&last[100..]);
        assert_eq!((meter.held(), meter.is_between_messages()), (0, true));
        assert_eq!((meter.take_largest(), meter.take_largest()), (70_000, 0));
    }

    #[test]
    fn empty_fragments_count_as_frames() {
        let empty = masked(0x00, b"");
        let mut meter = fed(&[masked(0x01, b""), empty.clone(), empty]);
        assert_eq!((meter.take_frames(), meter.held()), (3, 0));
        assert!(!meter.is_between_messages());
    }

    /// Bytes that have arrived; no more come.
    struct Arrived<'a>(&'a [u8]);

    impl Read for Arrived<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0.read(buffer)
        }
    }

    impl Write for Arrived<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What tungstenite makes of a stream: how many messages, and whether it took all for valid.
    fn parse(stream: &[u8]) -> (u32, bool) {
        let config = WebSocketConfig::default().read_buffer_size(512);
        let mut context = WebSocketContext::new(Role::Server, Some(config));
        let (mut arrived, mut messages) = (Arrived(stream), 0);
        loop {
            match context.read(&mut arrived) {
                Ok(Message::Close(_)) => return (messages, false),
                Ok(_) => messages += 1,
                Err(Error::Io(_)) => return (messages, true),
                Err(_) => return (messages, false),
            }
        }
    }

    proptest! {
        /// Whole messages leave nothing, as the parser sees it; a cut one leaves something.
        #[test]
        fn it_agrees_with_the_parser(
            messages in prop::collection::vec(
                (prop::collection::vec(0_usize..300, 1..4), any::<bool>()), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut frames = Vec::new();
            for (fragments, is_pinged) in &messages {
                for (index, size) in fragments.iter().enumerate() {
                    let opcode = if index == 0 { 1 } else { 0 };
                    let fin = if index + 1 == fragments.len() { FIN } else { 0 };
                    frames.push(masked(fin | opcode, &vec![b'x'; *size]));
                    if *is_pinged {
                        frames.push(masked(0x89, b"p"));
                    }
                }
            }
            let stream = frames.concat();
            let mut meter = FrameMeter::default();
            meter.feed(&stream);
            prop_assert!(meter.is_between_messages());
            prop_assert_eq!(meter.take_frames() as usize, frames.len());
            let (whole, is_valid) = parse(&stream);
            prop_assert!(is_valid);
            // Fed to its middle, the parser is between two messages exactly if both halves are valid.
            let cut = cut.index(stream.len() + 1);
            let (before, after) = stream.split_at(cut);
            let mut meter = FrameMeter::default();
            before.chunks(7).for_each(|chunk| meter.feed(chunk));
            if meter.is_between_messages() {
                let (first, second) = (parse(before), parse(after));
                prop_assert!(first.1 && second.1 && first.0 + second.0 == whole);
                prop_assert_eq!(meter.held(), 0);
            } else {
                prop_assert!(cut > 0 && cut < stream.len());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut meter = FrameMeter::default();
            stream.chunks(3).for_each(|chunk| meter.feed(chunk));
            let _ = (meter.held(), meter.is_between_messages());
        }
    }
}
