//! Scenes of the line in front of a channel: one way at a time, everybody told their count.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use bytes::Bytes;

use bifrost_model::explore::{Preemptions, explore, thread};
use bifrost_model::hub::batch::Batcher;
use bifrost_model::net::sync::{AtomicUsize, Mutex, Ordering};

/// What goes together has at most so many bytes.
const MAX_BATCH: usize = 64 * 1024;
/// Two frames of this size don't fit into one batch.
const LARGE: usize = 40 * 1024;

/// A line, and the ways that went out through it.
#[derive(Default)]
struct Street {
    line: Batcher,
    on_the_way: AtomicUsize,
    ways: Mutex<Vec<Bytes>>,
}

impl Street {
    /// Sends a frame; the count that is told is the way's number, so no two are alike.
    fn send(&self, frame: &Bytes) -> usize {
        self.line.send(frame, |frames| {
            assert_eq!(
                self.on_the_way.fetch_add(1, Ordering::SeqCst),
                0,
                "two at a time"
            );
            assert!(frames.len() <= MAX_BATCH, "too many together");
            let mut ways = self.ways.lock();
            ways.push(frames.clone());
            let count = ways.len();
            drop(ways);
            self.on_the_way.fetch_sub(1, Ordering::SeqCst);
            count
        })
    }

    /// Sends frames one after the other, and looks at what became of each.
    fn send_all(&self, frames: &[Bytes]) {
        for frame in frames {
            let way = self.send(frame);
            let ways = self.ways.lock();
            let sent = &ways[way - 1];
            assert!(holds(sent, frame), "the count is of another way");
        }
    }

    /// Every frame went out once, and each sender's in their order.
    fn assert_sent(&self, senders: &[Vec<Bytes>]) {
        let sent = self.ways.lock().concat();
        let mut by_sender: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for byte in sent {
            by_sender.entry(byte & 0xf0).or_default().push(byte);
        }
        let expected = senders
            .iter()
            .map(|frames| (frames[0][0] & 0xf0, frames.concat()));
        assert_eq!(by_sender, expected.collect());
    }
}

fn holds(way: &[u8], frame: &[u8]) -> bool {
    way.windows(frame.len()).any(|window| window == frame)
}

/// Frames of one sender: the byte tells whose they are, and which.
fn frames(sender: u8, count: u8, size: usize) -> Vec<Bytes> {
    let frame = |number| Bytes::from(vec![sender << 4 | number; size]);
    (0..count).map(frame).collect()
}

/// All senders send at once, one of them from this thread.
fn meet(senders: Vec<Vec<Bytes>>) {
    let street = Arc::new(Street::default());
    let (first, others) = senders.split_first().unwrap();
    let threads: Vec<_> = others
        .iter()
        .map(|frames| {
            let (street, frames) = (street.clone(), frames.clone());
            thread::spawn(move || street.send_all(&frames))
        })
        .collect();
    street.send_all(first);
    for thread in threads {
        thread.join().unwrap();
    }
    street.assert_sent(&senders);
}

#[test]
fn two_that_meet_both_go_and_know_their_count() {
    explore(Preemptions::Any, || {
        meet(vec![frames(1, 1, 1), frames(2, 1, 1)]);
    });
}

#[test]
fn who_meets_the_way_taken_leads_or_follows() {
    explore(Preemptions::UpTo(3), || {
        meet(vec![frames(1, 1, 1), frames(2, 1, 1), frames(3, 1, 1)]);
    });
}

#[test]
fn senders_keep_their_own_order() {
    explore(Preemptions::UpTo(4), || {
        meet(vec![frames(1, 2, 1), frames(2, 2, 1)]);
    });
}

#[test]
fn a_batch_without_room_is_waited_for() {
    explore(Preemptions::UpTo(2), || {
        let large = |sender| frames(sender, 1, LARGE);
        meet(vec![large(1), large(2), large(3)]);
    });
}

#[test]
fn who_waits_is_not_overtaken() {
    explore(Preemptions::UpTo(3), || {
        let street = Arc::new(Street::default());
        let senders = [1, 2].map(|sender| {
            let street = street.clone();
            thread::spawn(move || street.send_all(&frames(sender, 1, 1)))
        });
        // Its description is the only window that a line has.
        let description = format!("{:?}", street.line);
        let somebody_waits = description.contains("Batch");
        let way = street.send(&frames(3, 1, 1)[0]);
        if somebody_waits {
            let sent = street.ways.lock()[..way].concat();
            assert_eq!(sent.last(), Some(&0x30));
            assert_eq!(sent.len(), 3, "overtook: {sent:x?}, {description}");
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// One of the senders panics on the way, and takes with it whoever follows.
fn panic_beside(others: &[u8]) {
    let street = Arc::new(Street::default());
    let threads: Vec<_> = others
        .iter()
        .map(|sender| {
            let (street, frame) = (street.clone(), frames(*sender, 1, 1).remove(0));
            thread::spawn(move || (frame.clone(), street.send(&frame)))
        })
        .collect();
    let failing = || {
        street.line.send(&Bytes::from_static(b"x"), |_| {
            resume_unwind(Box::new("on purpose"))
        })
    };
    let _ = catch_unwind(AssertUnwindSafe(failing)); // no panic where another leads it
    for thread in threads {
        let (frame, way) = thread.join().unwrap();
        let sent = street.ways.lock().concat();
        assert_eq!(way > 0, holds(&sent, &frame), "told {way} of {sent:x?}");
    }
    assert_eq!(street.send(&frames(9, 1, 1)[0]), street.ways.lock().len());
}

#[test]
fn a_panic_on_the_way_leaves_nobody_waiting() {
    explore(Preemptions::Any, || panic_beside(&[1]));
}

#[test]
fn a_panic_on_the_way_is_told_to_who_follows() {
    explore(Preemptions::UpTo(3), || panic_beside(&[1, 2]));
}

#[cfg(feature = "shuttle")]
mod many {
    use super::*;
    use bifrost_model::explore::explore_many;

    #[test]
    fn four_senders_lose_double_and_swap_nothing() {
        explore_many(10_000, || {
            meet((1..5).map(|sender| frames(sender, 4, 1)).collect())
        });
    }

    #[test]
    fn four_senders_of_large_frames_wait_for_room() {
        explore_many(500, || {
            meet((1..5).map(|sender| frames(sender, 2, LARGE)).collect());
        });
    }
}
