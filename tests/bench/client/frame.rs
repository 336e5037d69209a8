//! The part of RFC 6455 that a load generator needs: parsing unmasked frames in place, and
//! building masked ones.

use crate::Result;

/// A text frame (RFC 6455 §5.2).
pub const TEXT: u8 = 0x1;
/// A close frame.
pub const CLOSE: u8 = 0x8;
/// A ping.
pub const PING: u8 = 0x9;
/// A pong.
pub const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// A length byte that says: the next two bytes are the length.
const LENGTH_16: u8 = 126;
/// A length byte that says: the next eight bytes are the length.
const LENGTH_64: u8 = 127;

/// A frame within the buffer that it was read into.
pub struct Frame<'a> {
    /// Its kind: [`TEXT`], [`CLOSE`], …
    pub opcode: u8,
    /// Its content.
    pub payload: &'a [u8],
    /// Bytes that it takes, header included.
    pub size: usize,
}

/// The frame that `bytes` begin with; `None` while it is incomplete.
///
/// # Errors
/// When it is masked, fragmented or uses an extension: no server here may send such.
#[inline]
pub fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let [start, length, ..] = *bytes else {
        return Ok(None);
    };
    if start & 0xF0 != FIN || length & MASKED != 0 {
        return Err(format!("a frame begins with {start:#04x} {length:#04x}").into());
    }
    let Some((header, length)) = size(bytes, length) else {
        return Ok(None);
    };
    let size = header + length;
    Ok(bytes.get(header..size).map(|payload| Frame {
        opcode: start & 0x0F,
        payload,
        size,
    }))
}

/// Sizes of the header, without a mask, and of the payload; `length` is its seven bits.
#[inline]
fn size(bytes: &[u8], length: u8) -> Option<(usize, usize)> {
    match length {
        LENGTH_16 => {
            let length = bytes.get(2..4)?.try_into().ok()?;
            Some((4, usize::from(u16::from_be_bytes(length))))
        }
        LENGTH_64 => {
            let length = bytes.get(2..10)?.try_into().ok()?;
            Some((10, usize::try_from(u64::from_be_bytes(length)).ok()?))
        }
        short => Some((2, usize::from(short))),
    }
}

/// A frame as a client sends it.
///
/// The key is zero, so that masking changes nothing and costs the client nothing; a server
/// unmasks it like any other.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), MASKED);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Appends a frame as a server sends it.
pub fn append_unmasked(frame: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    frame.extend_from_slice(&header(opcode, payload.len(), 0));
    frame.extend_from_slice(payload);
}

/// A client's frame: its opcode, its payload unmasked in place, and its whole size.
pub fn unmask(bytes: &mut [u8]) -> Option<(u8, &[u8], usize)> {
    let length = bytes.get(1)? & 0x7F;
    let (header, length) = size(bytes, length)?;
    let size = header + 4 + length;
    if bytes.len() < size {
        return None;
    }
    let opcode = bytes[0] & 0x0F;
    let (head, payload) = bytes[..size].split_at_mut(header + 4);
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[header + index % 4];
    }
    Some((opcode, payload, size))
}

fn header(opcode: u8, length: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![FIN | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < LENGTH_16 => header.push(masked | length),
        (_, Ok(length)) => {
            header.push(masked | LENGTH_16);
            header.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            header.push(masked | LENGTH_64);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}
