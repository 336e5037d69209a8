//! Where broadcasts to one channel meet: while one is on its way, the others line up, and
//! all that wait go together in one write per subscriber.
//!
//! A broadcast that meets nobody goes at once. Of those that line up, the first one leads:
//! when the way is free it takes them all as one batch. Everybody is told the count of
//! their own batch. It knows no channels and no subscribers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::net::sync::{Condvar, Mutex, MutexGuard, OnceLock};

/// A batch takes frames up to this size, in bytes; a single one may be larger.
const MAX_BATCH: usize = 64 * 1024;

/// The line in front of one channel.
#[derive(Debug, Default)]
pub struct Batcher {
    /// Guards who is on the way and who waits.
    state: Mutex<State>,
    /// Told whenever a way has ended.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    batch: Option<Batch>,
}

/// Frames that wait, one behind the other as they go out.
#[derive(Debug)]
struct Batch {
    frames: BytesMut,
    /// Set when they have gone: how many subscribers took them.
    outcome: Arc<OnceLock<usize>>,
}

/// What a frame is in its batch.
enum Role {
    /// The first, whose sender sends the batch.
    Leads(Arc<OnceLock<usize>>),
    /// Sent by the leader.
    Follows(Arc<OnceLock<usize>>),
}

impl Batcher {
    /// Sends a frame in its turn through `fan_out`, which is never called twice at a time;
    /// perhaps together with others. Tells how many took it.
    pub fn send(&self, frame: &Bytes, fan_out: impl Fn(&Bytes) -> usize) -> usize {
        let mut state = self.state.lock();
        // Who waits already is not overtaken, even when the way has just become free.
        if !state.is_taken && state.batch.is_none() {
            return self.go(state, |_| (frame.clone(), None), fan_out);
        }
        match self.line_up(&mut state, frame) {
            Role::Leads(outcome) => {
                while state.is_taken {
                    self.moved.wait(&mut state);
                }
                let take = |state: &mut State| match state.batch.take() {
                    Some(batch) => (batch.frames.freeze(), Some(outcome)),
                    None => (Bytes::new(), None), // can't be: only its leader takes it
                };
                self.go(state, take, fan_out)
            }
            Role::Follows(outcome) => loop {
                if let Some(count) = outcome.get() {
                    return *count;
                }
                self.moved.wait(&mut state);
            },
        }
    }

    /// Joins the batch that waits, or begins one; waits while it has no room.
    fn line_up(&self, state: &mut MutexGuard<'_, State>, frame: &Bytes) -> Role {
        loop {
            let Some(batch) = &mut state.batch else {
                let outcome = Arc::new(OnceLock::new());
                let frames = BytesMut::from(&frame[..]);
                state.batch = Some(Batch {
                    frames,
                    outcome: outcome.clone(),
                });
                return Role::Leads(outcome);
            };
            if batch.frames.len() + frame.len() <= MAX_BATCH {
                batch.frames.extend_from_slice(frame);
                return Role::Follows(batch.outcome.clone());
            }
            self.moved.wait(state);
        }
    }

    /// Takes the way, sends, and leaves it to the next.
    fn go(
        &self,
        mut state: MutexGuard<'_, State>,
        take: impl FnOnce(&mut State) -> (Bytes, Option<Arc<OnceLock<usize>>>),
        fan_out: impl Fn(&Bytes) -> usize,
    ) -> usize {
        let (frames, outcome) = take(&mut state);
        state.is_taken = true;
        drop(state);
        let turn = FlushGuard {
            line: self,
            outcome,
        };
        let count = fan_out(&frames);
        turn.end(count);
        count
    }
}

/// Being on the way. Ends on every path, so that a panic leaves nobody waiting.
struct FlushGuard<'a> {
    line: &'a Batcher,
    outcome: Option<Arc<OnceLock<usize>>>,
}

impl FlushGuard<'_> {
    fn end(self, count: usize) {
        if let Some(outcome) = &self.outcome {
            outcome.get_or_init(|| count);
        }
    }
}

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.line.state.lock();
        if let Some(outcome) = &self.outcome {
            outcome.get_or_init(|| 0); // it panicked: nobody can say who got it
        }
        state.is_taken = false;
        drop(state);
        self.line.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    fn frame(byte: u8) -> Bytes {
        Bytes::from(vec![byte])
    }

    /// Runs `first` while `others` line up behind it; gives what went out, way by way.
    fn collect(others: usize, size: usize) -> (Vec<Bytes>, Vec<usize>) {
        let line = Batcher::default();
        let sent = Mutex::new(Vec::new());
        let lined_up = |line: &Batcher| {
            let state = line.state.lock();
            state.batch.as_ref().map_or(0, |batch| batch.frames.len())
        };
        let counts = thread::scope(|scope| {
            let first = scope.spawn(|| {
                line.send(&frame(b'0'), |frames| {
                    while lined_up(&line) < (others * size).min(MAX_BATCH) {
                        thread::yield_now();
                    }
                    sent.lock().push(frames.clone());
                    7
                })
            });
            while !line.state.lock().is_taken {
                thread::yield_now();
            }
            let send = |byte: u8| {
                let (line, sent) = (&line, &sent);
                move || {
                    let frame = Bytes::from(vec![byte; size]);
                    line.send(&frame, |frames| {
                        sent.lock().push(frames.clone());
                        frames.len()
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
    fn who_meets_nobody_goes_at_once() {
        let line = Batcher::default();
        assert_eq!(line.send(&frame(b'x'), |frames| frames.len() + 10), 11);
        assert!(!line.state.lock().is_taken);
    }

    #[test]
    fn those_who_wait_go_together_and_know_their_count() {
        let (sent, counts) = collect(3, 1);
        assert_eq!((sent.len(), &sent[0][..], sent[1].len()), (2, &b"0"[..], 3));
        assert_eq!(counts, [7, 3, 3, 3]);
    }

    #[test]
    fn a_batch_has_a_limit() {
        let (sent, _) = collect(3, MAX_BATCH / 2);
        assert_eq!(
            sent.iter().map(Bytes::len).collect::<Vec<_>>(),
            [1, MAX_BATCH, MAX_BATCH / 2]
        );
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let line = Batcher::default();
        thread::scope(|scope| {
            let failing = scope.spawn(|| line.send(&frame(b'x'), |_| panic!("on purpose")));
            assert!(failing.join().is_err());
        });
        assert_eq!(line.send(&frame(b'y'), |_| 1), 1);
    }

    #[test]
    fn nothing_is_lost_doubled_or_sent_at_the_same_time() {
        const SENDERS: u8 = 8;
        const EACH: usize = 2_000;
        let line = Batcher::default();
        let on_the_way = AtomicUsize::new(0);
        let sent = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (line, on_the_way, sent) = (&line, &on_the_way, &sent);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let frame = [&[sender][..], &(number as u32).to_be_bytes()].concat();
                        let count = line.send(&frame.into(), |frames| {
                            assert_eq!(on_the_way.fetch_add(1, Ordering::SeqCst), 0);
                            sent.lock().extend_from_slice(frames);
                            on_the_way.fetch_sub(1, Ordering::SeqCst);
                            9
                        });
                        assert_eq!(count, 9);
                    }
                });
            }
        });
        let sent = sent.into_inner();
        let mut next = [0; SENDERS as usize];
        for frame in sent.chunks(5) {
            let number = u32::from_be_bytes(frame[1..].try_into().unwrap());
            assert_eq!(number, next[frame[0] as usize]);
            next[frame[0] as usize] += 1;
        }
        assert_eq!(next, [EACH as u32; SENDERS as usize]);
    }
}
