//! Decodes requests from bytes, however the bytes are split over reads. No I/O.

use super::chunked::Chunked;
use super::error::HttpError;
use super::growth;
use super::head::{Framing, Head};
use super::status::Status;

/// Bodies up to this size are copied out of the buffer that they were read into, in bytes.
const COPIED: usize = 4 * 1024;

/// A whole request.
#[derive(Debug)]
pub struct Request {
    /// Request line and headers.
    pub head: Head,
    /// Its body, with chunks joined.
    pub body: Vec<u8>,
}

/// How far a request has arrived.
#[derive(Debug)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// More bytes are needed, and the client waits for 100 (Continue) before it sends them.
    AwaitsContinue,
    /// The request is whole; what is left of the input belongs to the next one.
    Whole(Request),
}

/// Decodes one request after the other.
#[derive(Debug)]
pub struct Decoder {
    /// Largest body, in bytes.
    max_body: usize,
    begun: Option<Begun>,
}

/// A request whose head has arrived.
#[derive(Debug)]
struct Begun {
    head: Head,
    body: Vec<u8>,
    rest: Rest,
    awaits_continue: bool,
    /// The length of the body, until it was asked for.
    announced: Option<usize>,
}

/// What is missing of a body.
#[derive(Debug)]
enum Rest {
    Length(usize),
    Chunks(Chunked),
}

impl Decoder {
    /// A decoder that accepts bodies of at most `max_body` bytes.
    pub fn new(max_body: usize) -> Decoder {
        Decoder {
            max_body,
            begun: None,
        }
    }

    /// Changes the largest body, from the next request on.
    pub fn set_max_body(&mut self, max_body: usize) {
        self.max_body = max_body;
    }

    /// Decodes what has arrived, and takes the used bytes off the front of `input`.
    ///
    /// # Errors
    /// Why the request is rejected; nothing more can be read from the connection then.
    pub fn advance(&mut self, input: &mut Vec<u8>) -> Result<Progress, HttpError> {
        if self.begun.is_none() {
            let Some((head, size)) = Head::parse(input)? else {
                return Ok(Progress::Partial);
            };
            input.drain(..size);
            self.begun = Some(Begun::new(head, self.max_body)?);
        }
        let Some(begun) = &mut self.begun else {
            return Ok(Progress::Partial);
        };
        if begun.take_body(input, self.max_body)? {
            let request = self.begun.take().map(|begun| (begun.head, begun.body));
            let (head, body) = request.expect("it was borrowed two lines above");
            return Ok(Progress::Whole(Request { head, body }));
        }
        // Reported once, and only while nothing of the body has arrived (RFC 9110 §10.1.1).
        let awaits_continue = std::mem::take(&mut begun.awaits_continue);
        if awaits_continue && begun.body.is_empty() && input.is_empty() {
            Ok(Progress::AwaitsContinue)
        } else {
            Ok(Progress::Partial)
        }
    }

    /// The length of a body that its head announces, once: when the head has arrived.
    pub fn take_announced(&mut self) -> Option<usize> {
        self.begun.as_mut()?.announced.take()
    }

    /// The bytes that are held once `more` bytes of input are decoded: head and body; while the body
    /// grows, the old buffer beside the new one.
    pub fn memory_after(&self, more: usize) -> usize {
        let Some(begun) = &self.begun else {
            return 0;
        };
        let length = begun.body.len();
        let most = match begun.rest {
            Rest::Length(missing) => length + missing,
            Rest::Chunks(_) => self.max_body,
        };
        let more = more.min(most.saturating_sub(length));
        begun.head.size + growth::peak(&begun.body, more, most)
    }

    /// Whether a head has arrived whose body has not.
    pub fn is_inside_a_request(&self) -> bool {
        self.begun.is_some()
    }
}

impl Begun {
    fn new(head: Head, max_body: usize) -> Result<Begun, HttpError> {
        let awaits_continue = head.expects_continue()?;
        let mut announced = None;
        let rest = match head.framing {
            Framing::Length(length) if length > max_body => {
                return Err(HttpError::new(
                    Status::ContentTooLarge,
                    format!("body is over {max_body} bytes"),
                ));
            }
            Framing::Length(length) => {
                announced = Some(length);
                Rest::Length(length)
            }
            Framing::Chunked => Rest::Chunks(Chunked::Size),
        };
        Ok(Begun {
            head,
            body: Vec::new(),
            rest,
            awaits_continue,
            announced,
        })
    }

    fn take_body(&mut self, input: &mut Vec<u8>, max_body: usize) -> Result<bool, HttpError> {
        match &mut self.rest {
            Rest::Chunks(chunked) => chunked.advance(input, &mut self.body, max_body),
            // A usual body is copied: the next request needs this buffer again.
            Rest::Length(missing)
                if *missing == input.len() && self.body.is_empty() && input.len() > COPIED =>
            {
                self.body = std::mem::take(input);
                Ok(true)
            }
            Rest::Length(missing) => {
                let taken = (*missing).min(input.len());
                let whole = self.body.len() + *missing;
                growth::reserve(&mut self.body, taken, whole);
                self.body.extend(input.drain(..taken));
                *missing -= taken;
                Ok(*missing == 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_BODY: usize = 64;

    /// What a stream of bytes was decoded to: paths with bodies, and the status of an error.
    #[derive(Debug, PartialEq)]
    struct Outcome {
        requests: Vec<(String, Vec<u8>)>,
        error: Option<u16>,
        left: usize,
    }

    fn decode<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut decoder = Decoder::new(MAX_BODY);
        let mut outcome = Outcome {
            requests: Vec::new(),
            error: None,
            left: 0,
        };
        let mut input = Vec::new();
        for part in parts {
            input.extend_from_slice(part);
            loop {
                match decoder.advance(&mut input) {
                    Ok(Progress::Whole(request)) => {
                        outcome.requests.push((request.head.path, request.body));
                    }
                    Ok(_) => break,
                    Err(error) => {
                        outcome.error = Some(error.status.code());
                        return outcome;
                    }
                }
            }
        }
        outcome.left = input.len();
        outcome
    }

    fn at_once(stream: &[u8]) -> Outcome {
        decode(std::iter::once(stream))
    }

    fn chunked(body: &str) -> Outcome {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        at_once(format!("{head}{body}").as_bytes())
    }

    #[test]
    fn pipelined_requests_come_one_after_the_other() {
        let stream = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
            GET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c";
        let outcome = at_once(stream);
        let expected = vec![
            ("/a".to_owned(), b"abc".to_vec()),
            ("/b".to_owned(), Vec::new()),
        ];
        assert_eq!(
            outcome,
            Outcome {
                requests: expected,
                error: None,
                left: 6
            }
        );
    }

    #[test]
    fn chunks_are_joined_and_trailers_dropped() {
        let outcome = chunked("3;ext=\"x\"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nA: b\r\n\r\n");
        assert_eq!(
            outcome.requests,
            [("/".to_owned(), b"abc0123456789".to_vec())]
        );
    }

    #[test]
    fn broken_chunks_are_rejected() {
        for body in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3 3\r\n",
            "3\r\nabc\n",
        ] {
            assert_eq!(chunked(body).error, Some(400), "{body:?}");
        }
        assert_eq!(chunked(&format!("1;{}", "x".repeat(9000))).error, Some(400));
        assert_eq!(
            chunked(&format!("0\r\n{}", "A: b\r\n".repeat(9000))).error,
            Some(400)
        );
    }

    #[test]
    fn bodies_over_the_limit_are_rejected_before_they_are_read() {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n";
        assert_eq!(at_once(head.as_bytes()).error, Some(413));
        assert_eq!(chunked("41\r\n").error, Some(413));
        assert_eq!(chunked("ffffffffffffffffffffff\r\n").error, Some(413));
        assert_eq!(
            chunked(&"20\r\n01234567890123456789012345678901\r\n".repeat(3)).error,
            Some(413)
        );
    }

    #[test]
    fn a_100_is_reported_once() {
        let mut decoder = Decoder::new(MAX_BODY);
        let head =
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n";
        let mut input = head.as_bytes().to_vec();
        assert!(matches!(
            decoder.advance(&mut input),
            Ok(Progress::AwaitsContinue)
        ));
        assert!(matches!(decoder.advance(&mut input), Ok(Progress::Partial)));
        input.extend_from_slice(b"abc");
        assert!(matches!(
            decoder.advance(&mut input),
            Ok(Progress::Whole(_))
        ));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_requests(
            bodies in prop::collection::vec(("[a-z]{1,8}", "\\PC{0,12}", any::<bool>()), 1..4),
            cuts in prop::collection::vec(1_usize..40, 0..40),
            junk in "[\\x00-\\x7f]{0,12}",
        ) {
            let mut stream = Vec::new();
            for (path, body, is_chunked) in &bodies {
                let framing = if *is_chunked {
                    "Transfer-Encoding: chunked".to_owned()
                } else {
                    format!("Content-Length: {}", body.len())
                };
                stream.extend(format!("POST /{path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").bytes());
                if *is_chunked {
                    for piece in body.as_bytes().chunks(5) {
                        stream.extend(format!("{:x}\r\n", piece.len()).bytes());
                        stream.extend_from_slice(piece);
                        stream.extend(b"\r\n");
                    }
                    stream.extend(b"0\r\n\r\n");
                } else {
                    stream.extend_from_slice(body.as_bytes());
                }
            }
            stream.extend(junk.bytes());
            let whole = at_once(&stream);
            prop_assert!(whole.requests.len() >= bodies.len());
            let mut parts = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                parts.push(part);
                rest = after;
            }
            parts.push(rest);
            prop_assert_eq!(decode(parts.into_iter()), whole);
            prop_assert_eq!(decode(stream.chunks(1)).requests.len() >= bodies.len(), true);
        }

        #[test]
        fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            at_once(&stream);
        }

        #[test]
        fn no_text_makes_it_panic(stream in "(GET|POST) /[ -~]{0,9} HTTP/1\\.[01]\r\n([A-Za-z-]{1,17}: ?[ -~]{0,9}\r?\n){0,4}\r\n[ -~\r\n]{0,40}") {
            let whole = at_once(stream.as_bytes());
            let bytewise = decode(stream.as_bytes().chunks(1));
            prop_assert_eq!(whole, bytewise);
        }
    }
}
