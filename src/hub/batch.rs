//! Group commit of one channel: while one batch of messages is being sent, further messages gather
//! in the next, and go out together in one write per subscriber.
//!
//! A message is sent at once when no batch is being sent. Of those that gather, the sender of the first
//! leads: when the batch before has been sent, it sends all of them, and each sender is told the
//! count of its batch. This module knows no channels and no subscribers.

use std::sync::Arc;

use super::message::Message;
use crate::net::sync::{Condvar, Mutex, MutexGuard, OnceLock};

/// Most bytes in a batch, encoded; a single message may be larger.
const MAX_BATCH: usize = 64 * 1024;

/// The batches of one channel.
#[derive(Debug, Default)]
pub struct Batcher {
    /// Guards whether a batch is being sent, and the one that gathers.
    state: Mutex<State>,
    /// Notified whenever a batch has been sent.
    flushed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_flushing: bool,
    next: Option<Batch>,
}

/// Messages that wait, in the order in which they are sent.
#[derive(Debug)]
struct Batch {
    messages: Vec<Message>,
    /// The size of all messages, in bytes.
    size: usize,
    outcome: Outcome,
}

/// Set when a batch has been sent: the number of subscribers that accepted it.
type Outcome = Arc<OnceLock<usize>>;

/// The part of a message's sender in its batch.
enum Role {
    /// The sender of the first message, which sends the batch.
    Leader(Outcome),
    /// Its message is sent by the leader.
    Follower(Outcome),
}

impl Batcher {
    /// Sends a message in its turn through `flush`, perhaps together with others. `flush` is never
    /// called twice at a time, and returns the number of subscribers that accepted the batch.
    pub fn send(&self, message: Message, flush: impl Fn(&mut [Message]) -> usize) -> usize {
        let mut state = self.state.lock();
        // A batch that waits is not overtaken, even when the one before has just been sent.
        if !state.is_flushing && state.next.is_none() {
            let guard = self.begin(state, None);
            return guard.finish(flush(&mut [message]));
        }
        match self.enqueue(&mut state, message) {
            Role::Leader(outcome) => {
                while state.is_flushing {
                    self.flushed.wait(&mut state);
                }
                let batch = state.next.take(); // only its leader takes it
                let mut messages = batch.map(|batch| batch.messages).unwrap_or_default();
                let guard = self.begin(state, Some(outcome));
                guard.finish(flush(&mut messages))
            }
            Role::Follower(outcome) => loop {
                if let Some(count) = outcome.get() {
                    return *count;
                }
                self.flushed.wait(&mut state);
            },
        }
    }

    /// Adds a message to the batch that gathers, or begins one; waits while it has no room.
    fn enqueue(&self, state: &mut MutexGuard<'_, State>, message: Message) -> Role {
        let size = message.size();
        loop {
            let Some(batch) = &mut state.next else {
                let outcome = Arc::new(OnceLock::new());
                state.next = Some(Batch {
                    messages: vec![message],
                    size,
                    outcome: outcome.clone(),
                });
                return Role::Leader(outcome);
            };
            if batch.size + size <= MAX_BATCH {
                batch.messages.push(message);
                batch.size += size;
                return Role::Follower(batch.outcome.clone());
            }
            self.flushed.wait(state);
        }
    }

    fn begin(&self, mut state: MutexGuard<'_, State>, outcome: Option<Outcome>) -> FlushGuard<'_> {
        state.is_flushing = true;
        FlushGuard {
            batcher: self,
            outcome,
        }
    }
}

/// A batch that is being sent. It ends on every path, so that a panic leaves no sender waiting.
struct FlushGuard<'a> {
    batcher: &'a Batcher,
    outcome: Option<Outcome>,
}

impl FlushGuard<'_> {
    fn finish(self, count: usize) -> usize {
        if let Some(outcome) = &self.outcome {
            outcome.get_or_init(|| count);
        }
        count
    }
}

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.batcher.state.lock();
        if let Some(outcome) = &self.outcome {
            outcome.get_or_init(|| 0); // after a panic: the count is not known
        }
        state.is_flushing = false;
        drop(state);
        self.batcher.flushed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    fn message(payload: impl Into<Bytes>) -> Message {
        Message {
            offset: 0,
            channel: "x".into(),
            payload: payload.into(),
        }
    }

    fn payload(messages: &[Message]) -> Vec<u8> {
        let payloads: Vec<_> = messages
            .iter()
            .map(|message| &message.payload[..])
            .collect();
        payloads.concat()
    }

    /// Waits until something is so, at most for a while.
    fn wait_until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "it does not become so");
            thread::yield_now();
        }
    }

    /// Sends a first message while others of `size` bytes gather after it; returns the payload
    /// of each flush, and the counts that the senders were told.
    fn gather(others: usize, size: usize) -> (Vec<Vec<u8>>, Vec<usize>) {
        let batcher = Batcher::default();
        let sent = Mutex::new(Vec::new());
        let expected = (others * message(vec![0; size]).size()).min(MAX_BATCH);
        let gathered = |batcher: &Batcher| {
            let state = batcher.state.lock();
            state.next.as_ref().map_or(0, |batch| batch.size)
        };
        let counts = thread::scope(|scope| {
            let first = scope.spawn(|| {
                batcher.send(message("0"), |messages| {
                    wait_until(|| gathered(&batcher) >= expected);
                    sent.lock().push(payload(messages));
                    7
                })
            });
            wait_until(|| batcher.state.lock().is_flushing);
            let send = |byte: u8| {
                let (batcher, sent) = (&batcher, &sent);
                move || {
                    batcher.send(message(vec![byte; size]), |messages| {
                        sent.lock().push(payload(messages));
                        messages.len()
                    })
                }
            };
            let rest: Vec<_> = (0..others)
                .map(|i| scope.spawn(send(b'a' + i as u8)))
                .collect();
            let all = std::iter::once(first).chain(rest);
            all.map(|sender| sender.join().unwrap()).collect()
        });
        (sent.into_inner(), counts)
    }

    #[test]
    fn a_message_is_sent_at_once_when_no_batch_is_being_sent() {
        let batcher = Batcher::default();
        assert_eq!(
            batcher.send(message("x"), |messages| messages.len() + 10),
            11
        );
        assert!(!batcher.state.lock().is_flushing);
    }

    #[test]
    fn waiting_messages_go_together_and_their_senders_know_the_count() {
        let (sent, counts) = gather(3, 1);
        assert_eq!((sent.len(), &sent[0][..], sent[1].len()), (2, &b"0"[..], 3));
        assert_eq!(counts, [7, 3, 3, 3]);
    }

    #[test]
    fn a_batch_has_a_limit() {
        let half = MAX_BATCH / 2 - message("").size();
        let (sent, _) = gather(3, half);
        assert_eq!(
            sent.iter().map(Vec::len).collect::<Vec<_>>(),
            [1, 2 * half, half]
        );
    }

    #[test]
    fn a_panic_leaves_no_sender_waiting() {
        let batcher = Batcher::default();
        thread::scope(|scope| {
            let failing = scope.spawn(|| batcher.send(message("x"), |_| panic!("on purpose")));
            assert!(failing.join().is_err());
        });
        assert_eq!(batcher.send(message("y"), |_| 1), 1);
    }

    #[test]
    fn nothing_is_lost_doubled_or_sent_at_the_same_time() {
        const SENDERS: u8 = 8;
        const EACH: usize = 2_000;
        let batcher = Batcher::default();
        let flushing = AtomicUsize::new(0);
        let sent = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (batcher, flushing, sent) = (&batcher, &flushing, &sent);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let text = [&[sender][..], &(number as u32).to_be_bytes()].concat();
                        let count = batcher.send(message(text), |messages| {
                            assert_eq!(flushing.fetch_add(1, Ordering::SeqCst), 0);
                            sent.lock().extend_from_slice(&payload(messages));
                            flushing.fetch_sub(1, Ordering::SeqCst);
                            9
                        });
                        assert_eq!(count, 9);
                    }
                });
            }
        });
        let sent = sent.into_inner();
        let mut next = [0; SENDERS as usize];
        for text in sent.chunks(5) {
            let number = u32::from_be_bytes(text[1..].try_into().unwrap());
            assert_eq!(number, next[text[0] as usize]);
            next[text[0] as usize] += 1;
        }
        assert_eq!(next, [EACH as u32; SENDERS as usize]);
    }
}
