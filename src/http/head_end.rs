//! How far a request's head goes (RFC 9112 §2.2).
//!
//! Looks at what has arrived and nothing else, again with each arrival; what a head says is
//! read by `head`.

use super::HttpError;

/// Longest request line, in bytes.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;
/// Longest head, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// Finds the empty line. Lines end with CR LF and nothing else; the limits hold for
/// what has arrived, so that nobody has to wait for an end that won't come.
///
/// # Errors
/// A refusal with 400, 414 or 431.
pub fn find_end(input: &[u8]) -> Result<Option<usize>, HttpError> {
    // Something else than HTTP, such as TLS, shows in its first byte.
    if input
        .first()
        .is_some_and(|first| !first.is_ascii_graphic() && !b"\r\n".contains(first))
    {
        return Err(HttpError::new(400, "this is not an HTTP request"));
    }
    // No further than over the limit, so that it does not matter how much has come at once.
    let input = &input[..input.len().min(MAX_HEAD + 1)];
    let mut line_start = 0;
    let mut has_request_line = false;
    while let Some(length) = input[line_start..].iter().position(|&byte| byte == b'\n') {
        let line_end = line_start + length;
        if !has_request_line {
            check_sizes(0, length)?;
        }
        if length == 0 || input[line_end - 1] != b'\r' {
            return Err(HttpError::new(
                400,
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

/// How many bytes of empty lines come before a request: they are no part of it (RFC 9112 §2.2).
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
        return Err(HttpError::new(414, sentence));
    }
    if head > MAX_HEAD {
        return Err(HttpError::new(
            431,
            format!("request head is over {MAX_HEAD} bytes"),
        ));
    }
    Ok(())
}
