//! Parses frames from the server as strictly as RFC 6455 §5 requires, and builds frames of a client.

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    /// With the code, if there is one.
    Close(Option<u16>),
}

/// Parses all that a server sent. Panics if it is incomplete or invalid.
pub fn read_all(bytes: &[u8]) -> Vec<Frame> {
    let (frames, rest) = split(bytes);
    assert!(rest.is_empty(), "the last frame is incomplete: {rest:?}");
    frames
}

/// Parses the whole frames of what a server sent. Panics if one is invalid.
pub fn read_whole(bytes: &[u8]) -> Vec<Frame> {
    split(bytes).0
}

fn split(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((frame, size)) = read(bytes) {
        bytes = &bytes[size..];
        let is_last = matches!(frame, Frame::Close(_));
        assert!(
            !is_last || bytes.is_empty(),
            "bytes after the close frame: {bytes:?}"
        );
        frames.push(frame);
    }
    (frames, bytes)
}

/// The first frame and its size, if it is complete.
fn read(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(first & 0x70, 0, "a reserved bit is set: {first:#x}");
    assert_eq!(
        first & 0x80,
        0x80,
        "the server does not fragment: {first:#x}"
    );
    assert_eq!(second & 0x80, 0, "a server's frame is masked");
    let (length, rest) = match second {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from(u16::from_be_bytes(*length));
            assert!(length > 125, "a length of {length} in 16 bits");
            (length, rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from_be_bytes(*length);
            assert!(
                length > 0xffff && length < 1 << 63,
                "a length of {length} in 64 bits"
            );
            (length, rest)
        }
        length => (u64::from(length), rest),
    };
    let payload = rest.get(..usize::try_from(length).ok()?)?;
    let size = bytes.len() - rest.len() + payload.len();
    Some((frame(first & 0x0f, payload), size))
}

fn frame(opcode: u8, payload: &[u8]) -> Frame {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text that is not UTF-8");
    assert!(
        opcode < 8 || payload.len() <= 125,
        "a control frame of {} bytes",
        payload.len()
    );
    match (opcode, payload) {
        (0x1, _) => Frame::Text(text(payload)),
        (0x8, []) => Frame::Close(None),
        (0x8, [high, low, reason @ ..]) => {
            text(reason);
            let code = u16::from_be_bytes([*high, *low]);
            assert!(is_sendable(code), "a close frame with the code {code}");
            Frame::Close(Some(code))
        }
        (0x9, []) => Frame::Ping,
        (0xa, _) => Frame::Pong(payload.to_vec()),
        _ => panic!("an opcode that the server does not send: {opcode:#x} {payload:?}"),
    }
}

/// Whether a close frame may have this code (RFC 6455 §7.4 and the IANA registry).
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A masked frame of a client, with any first byte.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    // A zero mask is valid and leaves the payload unchanged: long payloads are only copied.
    let mask = match payload.len() {
        ..1024 => [0x37, 0xfa, 0x21, 0x3d],
        _ => [0; 4],
    };
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let begin = frame.len();
    frame.extend_from_slice(payload);
    if mask != [0; 4] {
        let masked = frame[begin..].iter_mut().zip(mask.iter().cycle());
        masked.for_each(|(byte, mask)| *byte ^= mask);
    }
    frame
}
