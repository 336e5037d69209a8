//! The chunked transfer coding (RFC 9112 §7.1): decoding as bytes arrive, and encoding.

use super::error::HttpError;
use super::growth;
use super::status::Status;

/// Longest line with a chunk's size, and longest trailer section, in bytes.
const MAX_LINE: usize = 4 * 1024;
const MAX_TRAILERS: usize = 8 * 1024;

/// How far a chunked body was decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunked {
    /// Before a line with a size.
    Size,
    /// Inside a chunk, of which so many bytes are missing.
    Data(usize),
    /// After the data of a chunk, before its CR LF.
    DataEnd,
    /// After the last chunk; this many bytes of trailers were dropped.
    Trailers(usize),
    /// After the body.
    End,
}

impl Chunked {
    /// Moves decoded bytes from the front of `input` to `body`; true when the body is whole.
    ///
    /// # Errors
    /// 400 for input that is not in the chunked coding, 413 for a body over `limit` bytes.
    pub fn advance(
        &mut self,
        input: &mut Vec<u8>,
        body: &mut Vec<u8>,
        limit: usize,
    ) -> Result<bool, HttpError> {
        let mut taken = 0;
        while let Some(step) = self.step(&input[taken..], body, limit)? {
            taken += step;
        }
        input.drain(..taken);
        Ok(*self == Chunked::End)
    }

    /// Takes one item off the front of `input`; none when it has not arrived whole.
    fn step(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Option<usize>, HttpError> {
        match *self {
            Chunked::Size => {
                let Some(line) = line(input, MAX_LINE)? else {
                    return Ok(None);
                };
                let size = chunk_size(line)?;
                if size > limit - body.len() {
                    return Err(HttpError::new(
                        Status::ContentTooLarge,
                        format!("body is over {limit} bytes"),
                    ));
                }
                *self = if size == 0 {
                    Chunked::Trailers(0)
                } else {
                    Chunked::Data(size)
                };
                Ok(Some(line.len() + 2))
            }
            Chunked::Data(missing) => {
                let taken = missing.min(input.len());
                growth::reserve(body, taken, limit);
                body.extend_from_slice(&input[..taken]);
                *self = match missing - taken {
                    0 => Chunked::DataEnd,
                    missing => Chunked::Data(missing),
                };
                Ok((taken > 0).then_some(taken))
            }
            Chunked::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    *self = Chunked::Size;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(HttpError::bad_request(
                    "a chunk is longer than its size says",
                )),
            },
            Chunked::Trailers(dropped) => {
                let Some(line) = line(input, MAX_TRAILERS - dropped)? else {
                    return Ok(None);
                };
                let taken = line.len() + 2;
                *self = if line.is_empty() {
                    Chunked::End
                } else {
                    Chunked::Trailers((dropped + taken).min(MAX_TRAILERS))
                };
                Ok(Some(taken))
            }
            Chunked::End => Ok(None),
        }
    }
}

/// A line without its CR LF, if it has arrived whole.
fn line(input: &[u8], limit: usize) -> Result<Option<&[u8]>, HttpError> {
    let end = input.iter().take(limit + 2).position(|&byte| byte == b'\n');
    match end {
        Some(end) if end > 0 && input[end - 1] == b'\r' => Ok(Some(&input[..end - 1])),
        Some(_) => Err(HttpError::bad_request(
            "a line of the body ends with LF instead of CR LF",
        )),
        None if input.len() > limit + 1 => Err(HttpError::bad_request(
            "chunk extensions or trailers are too long",
        )),
        None => Ok(None),
    }
}

/// The hexadecimal size of a chunk; an extension after a semicolon is ignored.
fn chunk_size(line: &[u8]) -> Result<usize, HttpError> {
    let size = line
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or(line)
        .trim_ascii_end();
    let is_hex = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| is_hex);
    let Some(text) = text else {
        return Err(HttpError::bad_request("a chunk's size is not a number"));
    };
    Ok(usize::from_str_radix(text, 16).unwrap_or(usize::MAX)) // too long for the type: over every limit
}

/// The chunk that ends a body (RFC 9112 §7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One chunk of a body. Empty data gives no bytes: an empty chunk would end the body.
pub fn encode(data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let size = format!("{:x}\r\n", data.len());
    [size.as_bytes(), data, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encoded_chunks_are_decoded(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
        ) {
            let mut input: Vec<u8> = pieces.iter().flat_map(|piece| encode(piece)).collect();
            input.extend_from_slice(LAST_CHUNK);
            let (mut chunked, mut body) = (Chunked::Size, Vec::new());
            prop_assert_eq!(chunked.advance(&mut input, &mut body, usize::MAX), Ok(true));
            prop_assert_eq!(body, pieces.concat());
            prop_assert!(input.is_empty());
        }
    }
}
