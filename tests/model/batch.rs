//! Scenarios of the batcher of a channel: one batch goes out at a time, and every sender gets the
//! delivery count of its own batch.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::Message;
use bifrost_model::hub::batch::Batcher;
use bifrost_model::net::sync::{AtomicUsize, Mutex, Ordering};

/// Most bytes of payload in a batch of several messages.
const MAX_BATCH: usize = 64 * 1024;
/// Size of a payload of which two don't fit into a batch.
const LARGE: usize = 40 * 1024;

/// A batcher, and the batches that it sent.
#[derive(Default)]
struct Recorder {
    batcher: Batcher,
    in_flight: AtomicUsize,
    batches: Mutex<Vec<Vec<u8>>>,
}

impl Recorder {
    /// Sends a payload; the count that it returns is the number of the batch, so that each differs.
    fn send(&self, payload: &Bytes) -> usize {
        self.batcher.send(message(payload), |messages| {
            assert_eq!(
                self.in_flight.fetch_add(1, Ordering::SeqCst),
                0,
                "two batches at a time"
            );
            let payloads: Vec<_> = messages.iter().map(|one| &one.payload[..]).collect();
            let batch = payloads.concat();
            assert!(batch.len() <= MAX_BATCH, "a batch over the limit");
            let mut batches = self.batches.lock();
            batches.push(batch);
            let count = batches.len();
            drop(batches);
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            count
        })
    }

    /// Sends payloads one after the other, and checks the batch of each.
    fn send_all(&self, payloads: &[Bytes]) {
        for payload in payloads {
            let number = self.send(payload);
            let batches = self.batches.lock();
            let batch = &batches[number - 1];
            assert!(contains(batch, payload), "the count of another batch");
        }
    }

    /// Asserts that every payload went out once, those of each sender in order.
    fn assert_sent(&self, senders: &[Vec<Bytes>]) {
        let sent = self.batches.lock().concat();
        let mut by_sender: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for byte in sent {
            by_sender.entry(byte & 0xf0).or_default().push(byte);
        }
        let expected = senders
            .iter()
            .map(|payloads| (payloads[0][0] & 0xf0, payloads.concat()));
        assert_eq!(by_sender, expected.collect());
    }
}

fn message(payload: &Bytes) -> Message {
    Message {
        offset: 0,
        channel: "x".into(),
        payload: payload.clone(),
    }
}

fn contains(batch: &[u8], payload: &[u8]) -> bool {
    batch.windows(payload.len()).any(|window| window == payload)
}

/// Payloads of one sender: each repeats a byte of its sender and number.
fn payloads(sender: u8, count: u8, size: usize) -> Vec<Bytes> {
    let payload = |number| Bytes::from(vec![sender << 4 | number; size]);
    (0..count).map(payload).collect()
}

/// All senders send concurrently, one of them from this thread.
fn send_concurrently(senders: Vec<Vec<Bytes>>) {
    let recorder = Arc::new(Recorder::default());
    let (first, others) = senders.split_first().unwrap();
    let threads: Vec<_> = others
        .iter()
        .map(|payloads| {
            let (recorder, payloads) = (recorder.clone(), payloads.clone());
            thread::spawn(move || recorder.send_all(&payloads))
        })
        .collect();
    recorder.send_all(first);
    for thread in threads {
        thread.join().unwrap();
    }
    recorder.assert_sent(&senders);
}

#[test]
fn two_concurrent_senders_both_send_and_get_their_counts() {
    explore(Preemptions::Any, || {
        send_concurrently(vec![payloads(1, 1, 1), payloads(2, 1, 1)]);
    });
}

#[test]
fn sender_during_a_batch_leads_or_follows_the_next() {
    explore(Preemptions::UpTo(3), || {
        send_concurrently(vec![
            payloads(1, 1, 1),
            payloads(2, 1, 1),
            payloads(3, 1, 1),
        ]);
    });
}

#[test]
fn messages_of_a_sender_keep_their_order() {
    explore(Preemptions::UpTo(4), || {
        send_concurrently(vec![payloads(1, 2, 1), payloads(2, 2, 1)]);
    });
}

#[test]
fn message_that_does_not_fit_waits_for_the_next_batch() {
    explore(Preemptions::UpTo(2), || {
        let large = |sender| payloads(sender, 1, LARGE);
        send_concurrently(vec![large(1), large(2), large(3)]);
    });
}

/// Whether some interleaving had a waiting batch: without one the test below checks nothing.
static SAW_WAITING_BATCH: AtomicBool = AtomicBool::new(false);

#[test]
fn waiting_batch_is_not_overtaken() {
    explore(Preemptions::UpTo(3), || {
        let recorder = Arc::new(Recorder::default());
        let senders = [1, 2].map(|sender| {
            let recorder = recorder.clone();
            thread::spawn(move || recorder.send_all(&payloads(sender, 1, 1)))
        });
        // Only the `Debug` output of a batcher shows whether a batch waits.
        let description = format!("{:?}", recorder.batcher);
        let is_waiting = description.contains("Some(Batch");
        let number = recorder.send(&payloads(3, 1, 1)[0]);
        if is_waiting {
            SAW_WAITING_BATCH.store(true, Ordering::SeqCst);
            let sent = recorder.batches.lock()[..number].concat();
            assert_eq!(sent.last(), Some(&0x30));
            assert_eq!(sent.len(), 3, "overtook: {sent:x?}, {description}");
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
    assert!(SAW_WAITING_BATCH.load(Ordering::SeqCst), "no batch waited");
}

/// One of the senders panics while it sends; the messages that follow it in the batch fail too.
fn panic_beside(others: &[u8]) {
    let recorder = Arc::new(Recorder::default());
    let threads: Vec<_> = others
        .iter()
        .map(|sender| {
            let (recorder, payload) = (recorder.clone(), payloads(*sender, 1, 1).remove(0));
            thread::spawn(move || (payload.clone(), recorder.send(&payload)))
        })
        .collect();
    let failing = || {
        let failing = message(&Bytes::from_static(b"x"));
        recorder
            .batcher
            .send(failing, |_| resume_unwind(Box::new("on purpose")))
    };
    let _ = catch_unwind(AssertUnwindSafe(failing)); // does not panic where another sender leads its batch
    for thread in threads {
        let (payload, number) = thread.join().unwrap();
        let sent = recorder.batches.lock().concat();
        assert_eq!(
            number > 0,
            contains(&sent, &payload),
            "{number} of {sent:x?}"
        );
    }
    assert_eq!(
        recorder.send(&payloads(9, 1, 1)[0]),
        recorder.batches.lock().len()
    );
}

#[test]
fn panic_of_a_sender_leaves_no_other_waiting() {
    explore(Preemptions::Any, || panic_beside(&[1]));
}

#[test]
fn panic_of_a_leader_fails_its_followers() {
    explore(Preemptions::UpTo(3), || panic_beside(&[1, 2]));
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn four_senders_lose_duplicate_and_reorder_nothing() {
        explore_many(10_000, || {
            send_concurrently((1..5).map(|sender| payloads(sender, 4, 1)).collect())
        });
    }

    #[test]
    fn large_messages_of_four_senders_wait_for_the_next_batch() {
        explore_many(500, || {
            send_concurrently((1..5).map(|sender| payloads(sender, 2, LARGE)).collect());
        });
    }
}
