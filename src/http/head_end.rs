//! Finding the end of a request's head (RFC 9112 §2.2).
//!
//! It scans all bytes of a head again whenever more arrive; `head` parses the whole head.

use super::error::HttpError;
use super::status::Status;
use crate::protocol::limits::{MAX_HEAD, MAX_REQUEST_LINE};

/// Finds the empty line that ends a head; returns the size of the head. Lines end with CR LF and
/// nothing else. The limits hold for what has arrived, without waiting for the end.
///
/// # Errors
/// 400, 414 or 431.
pub fn find_end(input: &[u8]) -> Result<Option<usize>, HttpError> {
    // The first byte tells another protocol, such as TLS.
    if input
        .first()
        .is_some_and(|first| !first.is_ascii_graphic() && !b"\r\n".contains(first))
    {
        return Err(HttpError::bad_request("this is not an HTTP request"));
    }
    // Nothing beyond the limit is looked at, so that the result does not depend on how much has
    // arrived at once.
    let input = &input[..input.len().min(MAX_HEAD + 1)];
    let mut line_start = 0;
    let mut has_request_line = false;
    while let Some(length) = input[line_start..].iter().position(|&byte| byte == b'\n') {
        let line_end = line_start + length;
        if !has_request_line {
            check_sizes(0, length)?;
        }
        if length == 0 || input[line_end - 1] != b'\r' {
            return Err(HttpError::bad_request(
                "a line of the head ends with LF instead of CR LF",
            ));
        }
        let is_empty = length == 1; // empty lines before the request line are skipped (§2.2)
        if is_empty && has_request_line {
            check_sizes(line_end + 1, 0)?;
            return Ok(Some(line_end + 1));
        }
        has_request_line |= !is_empty;
        line_start = line_end + 1;
    }
    let request_line = if has_request_line {
        0
    } else {
        input.len() - line_start
    };
    check_sizes(input.len(), request_line)?;
    Ok(None)
}

/// The bytes of empty lines before a request, which are no part of it (RFC 9112 §2.2).
pub fn empty_lines(input: &[u8]) -> usize {
    input
        .chunks_exact(2)
        .take_while(|pair| pair == b"\r\n")
        .count()
        * 2
}

fn check_sizes(head: usize, request_line: usize) -> Result<(), HttpError> {
    if request_line > MAX_REQUEST_LINE {
        let sentence = format!("request line is over {MAX_REQUEST_LINE} bytes");
        return Err(HttpError::new(Status::UriTooLong, sentence));
    }
    if head > MAX_HEAD {
        return Err(HttpError::new(
            Status::HeadersTooLarge,
            format!("request head is over {MAX_HEAD} bytes"),
        ));
    }
    Ok(())
}
