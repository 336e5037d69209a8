//! Keeps the server honest: every subscriber gets every message exactly once, whole, in order.
//!
//! A message is `{"stream":"000012","seq":"000345","data":"…"}`: JSON for the server, digits
//! at fixed places for the ledger, and a filler that is compared to the last byte.

use crate::Result;

const PREFIX: &[u8] = br#"{"stream":""#;
const MIDDLE: &[u8] = br#"","seq":""#;
const BEFORE_FILLER: &[u8] = br#"","data":""#;
const END: &[u8] = br#""}"#;
const DIGITS: usize = 6;

const STREAM_AT: usize = PREFIX.len();
const NUMBER_AT: usize = STREAM_AT + DIGITS + MIDDLE.len();
const FILLER_AT: usize = NUMBER_AT + DIGITS + BEFORE_FILLER.len();
/// Bytes of a message that carries nothing.
pub const SMALLEST: usize = FILLER_AT + END.len();

/// Writes a message of `size` bytes, [`SMALLEST`] or more.
pub fn message(stream: usize, number: usize, size: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(size);
    message.extend_from_slice(PREFIX);
    message.extend_from_slice(format!("{stream:06}").as_bytes());
    message.extend_from_slice(MIDDLE);
    message.extend_from_slice(format!("{number:06}").as_bytes());
    message.extend_from_slice(BEFORE_FILLER);
    message.extend((FILLER_AT..size - END.len()).map(|place| b'a' + (place % 26) as u8));
    message.extend_from_slice(END);
    message
}

/// Which streams each subscriber hears.
#[derive(Clone, Copy)]
pub enum Audience {
    /// Everybody hears so many streams, the same ones.
    All(usize),
    /// Everybody hears so many streams of its own, in the order of the subscribers.
    Own(usize),
}

/// What each subscriber has heard, and must hear next.
pub struct Ledger {
    audience: Audience,
    cycle: u32,
    /// By subscriber, then by its streams: the sequence number that must come next.
    next: Vec<u32>,
    heard: u64,
    model: Vec<u8>,
}

impl Ledger {
    /// Nothing has been sent yet to so many subscribers.
    pub fn new(audience: Audience, subscribers: usize, cycle: usize, size: usize) -> Ledger {
        Ledger {
            audience,
            cycle: cycle as u32,
            next: vec![0; subscribers * audience.streams()],
            heard: 0,
            model: message(0, 0, size),
        }
    }

    /// Begins again, with so many subscribers.
    pub fn reopen(&mut self, subscribers: usize) {
        self.heard = 0;
        self.next.clear();
        self.next.resize(subscribers * self.audience.streams(), 0);
    }

    /// Deliveries so far.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Notes a delivery; tells the stream and the sequence number.
    ///
    /// # Errors
    /// When the message is damaged, is not for this subscriber, or is not the one due.
    #[inline]
    pub fn note(&mut self, subscriber: usize, payload: &[u8]) -> Result<(usize, usize)> {
        if !self.is_whole(payload) {
            let text = String::from_utf8_lossy(payload);
            return Err(format!("subscriber {subscriber} got a damaged message: {text}").into());
        }
        let stream = number(payload, STREAM_AT);
        let seq = number(payload, NUMBER_AT) as u32;
        let due = self
            .place(subscriber, stream)
            .map(|place| &mut self.next[place]);
        let Some(due) = due else {
            return Err(format!("subscriber {subscriber} got stream {stream}, not its own").into());
        };
        if *due != seq {
            let sentence = format!(
                "subscriber {subscriber}, stream {stream}: message {due} was due, {seq} came"
            );
            return Err(sentence.into());
        }
        *due = if seq + 1 == self.cycle { 0 } else { seq + 1 };
        self.heard += 1;
        Ok((stream, seq as usize))
    }

    #[inline]
    fn is_whole(&self, payload: &[u8]) -> bool {
        payload.len() == self.model.len()
            && payload[..STREAM_AT] == *PREFIX
            && payload[STREAM_AT + DIGITS..NUMBER_AT] == *MIDDLE
            && payload[NUMBER_AT + DIGITS..] == self.model[NUMBER_AT + DIGITS..]
    }

    #[inline]
    fn place(&self, subscriber: usize, stream: usize) -> Option<usize> {
        let (each, first) = match self.audience {
            Audience::All(streams) => (streams, 0),
            Audience::Own(streams) => (streams, subscriber * streams),
        };
        let offset = stream.checked_sub(first).filter(|offset| *offset < each)?;
        Some(subscriber * each + offset)
    }

    /// Whether everything that was sent has been heard, by as many as each message reaches.
    ///
    /// # Errors
    /// When something was lost or came twice.
    pub fn settle(&self, sent: &[u64], reach: u64) -> Result {
        let due = sent.iter().sum::<u64>() * reach;
        match self.heard == due {
            true => Ok(()),
            false => Err(format!("{} deliveries came of {due}", self.heard).into()),
        }
    }
}

impl Audience {
    fn streams(self) -> usize {
        match self {
            Audience::All(streams) | Audience::Own(streams) => streams,
        }
    }
}

#[inline]
fn number(payload: &[u8], place: usize) -> usize {
    let digits = payload[place..place + DIGITS].iter();
    digits.fold(0, |number, digit| {
        number * 10 + usize::from(digit.wrapping_sub(b'0'))
    })
}
