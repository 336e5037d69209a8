//! Checks that every subscriber receives every message exactly once, whole and in order.
//!
//! A message is `{"stream":"000012","seq":"000345","data":"…"}`: JSON for the server, digits
//! at fixed offsets for this log, and padding that is compared to the last byte.

use crate::Result;

const PREFIX: &[u8] = br#"{"stream":""#;
const MIDDLE: &[u8] = br#"","seq":""#;
const BEFORE_PADDING: &[u8] = br#"","data":""#;
const END: &[u8] = br#""}"#;
const DIGITS: usize = 6;

const STREAM_AT: usize = PREFIX.len();
const NUMBER_AT: usize = STREAM_AT + DIGITS + MIDDLE.len();
const PADDING_AT: usize = NUMBER_AT + DIGITS + BEFORE_PADDING.len();
/// Size of a message without padding, in bytes.
pub const SMALLEST: usize = PADDING_AT + END.len();

/// Writes a message of `size` bytes, [`SMALLEST`] or more.
pub fn message(stream: usize, number: usize, size: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(size);
    message.extend_from_slice(PREFIX);
    message.extend_from_slice(format!("{stream:06}").as_bytes());
    message.extend_from_slice(MIDDLE);
    message.extend_from_slice(format!("{number:06}").as_bytes());
    message.extend_from_slice(BEFORE_PADDING);
    message.extend((PADDING_AT..size - END.len()).map(|offset| b'a' + (offset % 26) as u8));
    message.extend_from_slice(END);
    message
}

/// Which streams each subscriber receives.
#[derive(Clone, Copy)]
pub enum Routing {
    /// All subscribers receive the same streams, so many.
    Shared(usize),
    /// Each subscriber receives so many streams of its own, in the order of the subscribers.
    Own(usize),
}

/// What each subscriber has received, and must receive next.
pub struct DeliveryLog {
    routing: Routing,
    cycle: u32,
    /// By subscriber, then by its streams: the next sequence number.
    next: Vec<u32>,
    deliveries: u64,
    sample: Vec<u8>,
}

impl DeliveryLog {
    /// An empty log for so many subscribers.
    pub fn new(routing: Routing, subscribers: usize, cycle: usize, size: usize) -> DeliveryLog {
        DeliveryLog {
            routing,
            cycle: cycle as u32,
            next: vec![0; subscribers * routing.streams()],
            deliveries: 0,
            sample: message(0, 0, size),
        }
    }

    /// Empties the log, for so many subscribers.
    pub fn reset(&mut self, subscribers: usize) {
        self.deliveries = 0;
        self.next.clear();
        self.next.resize(subscribers * self.routing.streams(), 0);
    }

    /// Deliveries so far.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Records a delivery; gives the stream and the sequence number.
    ///
    /// # Errors
    /// When the message is damaged, is not for this subscriber, or is not the next one.
    #[inline]
    pub fn record(&mut self, subscriber: usize, payload: &[u8]) -> Result<(usize, usize)> {
        if !self.is_whole(payload) {
            let text = String::from_utf8_lossy(payload);
            return Err(format!("subscriber {subscriber} got a damaged message: {text}").into());
        }
        let stream = number(payload, STREAM_AT);
        let seq = number(payload, NUMBER_AT) as u32;
        let expected = self
            .index(subscriber, stream)
            .map(|index| &mut self.next[index]);
        let Some(expected) = expected else {
            return Err(format!("subscriber {subscriber} got stream {stream}, not its own").into());
        };
        if *expected != seq {
            let message = format!(
                "subscriber {subscriber}, stream {stream}: expected message {expected}, got {seq}"
            );
            return Err(message.into());
        }
        *expected = if seq + 1 == self.cycle { 0 } else { seq + 1 };
        self.deliveries += 1;
        Ok((stream, seq as usize))
    }

    #[inline]
    fn is_whole(&self, payload: &[u8]) -> bool {
        payload.len() == self.sample.len()
            && payload[..STREAM_AT] == *PREFIX
            && payload[STREAM_AT + DIGITS..NUMBER_AT] == *MIDDLE
            && payload[NUMBER_AT + DIGITS..] == self.sample[NUMBER_AT + DIGITS..]
    }

    #[inline]
    fn index(&self, subscriber: usize, stream: usize) -> Option<usize> {
        let (each, first) = match self.routing {
            Routing::Shared(streams) => (streams, 0),
            Routing::Own(streams) => (streams, subscriber * streams),
        };
        let offset = stream.checked_sub(first).filter(|offset| *offset < each)?;
        Some(subscriber * each + offset)
    }

    /// Checks that every message that was sent has arrived at as many subscribers as it reaches.
    ///
    /// # Errors
    /// When one was lost or came twice.
    pub fn check_complete(&self, sent: &[u64], reach: u64) -> Result {
        let expected = sent.iter().sum::<u64>() * reach;
        if self.deliveries == expected {
            return Ok(());
        }
        Err(format!("{} deliveries arrived of {expected}", self.deliveries).into())
    }
}

impl Routing {
    fn streams(self) -> usize {
        match self {
            Routing::Shared(streams) | Routing::Own(streams) => streams,
        }
    }
}

#[inline]
fn number(payload: &[u8], offset: usize) -> usize {
    let digits = payload[offset..offset + DIGITS].iter();
    digits.fold(0, |number, digit| {
        number * 10 + usize::from(digit.wrapping_sub(b'0'))
    })
}
