//! How a send queue is shared between the threads that push and the one that owns it.
//!
//! One lock guards the writing; one word counts the waiting bytes and says why no more may wait.
//! The models in `tests/model` explore the orders in which the threads can meet.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::budget::{QueueBudget, Waiting};
use super::outcome::{Push, QueueState};
use crate::net::socket::Socket;
use crate::net::sync::{
    AtomicU64, Mutex, MutexGuard, Ordering, Receiver, Sender, fence, unbounded,
};
use crate::net::waker::Waker;

/// Waiting frames are joined up to this many bytes, to go out in one write.
const BATCH: usize = 16 * 1024;

/// What a frame costs while it waits, besides its bytes: its slot in the channel (40 bytes), and the
/// allocations of its bytes and of the handle on them (32 bytes each, at least), rounded up.
pub const FRAME_COST: usize = 128;

/// Flags in the top bits of `Shared::load`; the bits below count bytes.
const CLOSED: u64 = 1 << 63;
const OVERFLOWED: u64 = 1 << 62;
const BROKEN: u64 = 1 << 61;
const BYTES: u64 = BROKEN - 1;

/// What all handles on a queue share.
#[derive(Debug)]
pub struct Shared {
    /// Guards the writing side of the socket. Nothing under it waits.
    writer: Mutex<Writer>,
    /// The bytes that wait, with [`FRAME_COST`] for each queued frame, reserved before they are
    /// queued, and the flags above. One word, so that a frame is either rejected, or sure to go out
    /// before the last one.
    load: AtomicU64,
    socket: Socket,
    waiting: Sender<Bytes>,
    queue: Receiver<Bytes>,
    /// Most bytes that may wait.
    limit: u64,
    /// The budget of all queues; this one counts towards it until it overflows.
    budget: QueueBudget,
    /// The last frame of a queue that has overflowed.
    too_slow: Bytes,
    waker: Waker,
    me: Weak<Shared>,
}

/// The state of the writing side.
#[derive(Debug, Default)]
pub struct Writer {
    /// The rest of what the socket took in part; it goes out before all else.
    in_flight: Bytes,
    /// The size of the allocation that `in_flight` is a part of, in bytes.
    in_flight_size: usize,
    /// The last frame, once closed; it goes out when nothing else waits.
    last: Option<Bytes>,
    has_last: bool,
    /// Since when the socket takes nothing; pushes only queue until the owner resumes.
    stalled_since: Option<Instant>,
    /// Whether the budget lists the queue: from the first stall until nothing waits.
    is_listed: bool,
}

impl Writer {
    /// Copies a short rest, so that it does not keep the whole of what it is a part of. A long one is
    /// left while other queues share the whole, which they would not share with the copy.
    fn free_what_was_sent(&mut self) {
        let rest = self.in_flight.len();
        let is_shared = rest > BATCH && !self.in_flight.is_unique();
        if rest <= self.in_flight_size / 2 && !is_shared {
            self.in_flight = Bytes::copy_from_slice(&self.in_flight);
            self.in_flight_size = rest;
        }
    }
}

/// Whether writing got to the end of the queue.
#[derive(PartialEq)]
enum Flow {
    Clear,
    Stalled,
}

impl Shared {
    /// See [`super::SendQueue::new`].
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new(
        socket: Socket,
        limit: usize,
        budget: QueueBudget,
        too_slow: Bytes,
    ) -> io::Result<Arc<Shared>> {
        let (waiting, queue) = unbounded();
        let waker = Waker::new()?;
        Ok(Arc::new_cyclic(|me| Shared {
            writer: Mutex::default(),
            load: AtomicU64::new(0),
            socket,
            waiting,
            queue,
            limit: limit as u64,
            budget,
            too_slow,
            waker,
            me: me.clone(),
        }))
    }

    /// See [`super::SendQueue::push`].
    pub fn push(&self, frame: &Bytes) -> Push {
        if let Some(mut writer) = self.writer.try_lock() {
            // Under the lock, nothing reserved means nothing queued, stalled or closed.
            if self.load.load(Ordering::SeqCst) == 0 {
                let push = self.write_at_once(&mut writer, frame);
                let is_whole = writer.in_flight.is_empty();
                drop(writer);
                self.look_again();
                if !is_whole {
                    self.budget.evict_fullest();
                }
                return push;
            }
        }
        self.enqueue(frame)
    }

    /// See [`super::SendQueue::prefetch`].
    pub fn prefetch(&self) {
        black_box(self.load.load(Ordering::Relaxed));
        self.socket.prefetch();
    }

    /// See [`super::SendQueue::close`].
    pub fn close(&self, last: Bytes) {
        let load = &self.load;
        self.with_writer(|writer| {
            if load.fetch_or(CLOSED, Ordering::SeqCst) & BROKEN == 0 && !writer.has_last {
                writer.last = Some(last);
                writer.has_last = true;
            }
        });
        self.drain();
    }

    /// Keeps all threads from writing; the caller has to drain after it has released the lock.
    pub fn hold(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// See [`super::SendQueue::resume`].
    pub fn resume(&self) {
        self.with_writer(|writer| self.write_waiting(writer));
    }

    /// See [`super::SendQueue::stalled_since`].
    pub fn stalled_since(&self) -> Option<Instant> {
        self.with_writer(|writer| writer.stalled_since)
    }

    /// See [`super::SendQueue::is_empty`].
    pub fn is_empty(&self) -> bool {
        let load = &self.load;
        self.with_writer(|writer| load.load(Ordering::SeqCst) & BYTES == 0 && writer.last.is_none())
    }

    /// See [`super::SendQueue::waker`].
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Writes a frame while nothing waits, so that it needs no queue and no count.
    fn write_at_once(&self, writer: &mut Writer, frame: &Bytes) -> Push {
        let sent = match self.socket.send(frame) {
            Ok(sent) if sent == frame.len() => return Push::Accepted,
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.break_off(writer);
                return Push::Rejected;
            }
        };
        writer.in_flight = frame.slice(sent..);
        writer.in_flight_size = frame.len();
        self.reserve(writer.in_flight.len());
        self.stall(writer);
        Push::Accepted
    }

    /// Lets a frame wait, unless more would wait than the limit: then the subscriber is too slow.
    fn enqueue(&self, frame: &Bytes) -> Push {
        let cost = frame.len() + FRAME_COST;
        let before = self.reserve(cost);
        let waits = before & BYTES;
        let is_over = waits > 0 && waits + cost as u64 > self.limit;
        if before & CLOSED != 0 || is_over {
            self.release(cost);
            if before & CLOSED == 0 {
                self.overflow();
            }
            self.look_again(); // another push may have found the lock held by this one
            return Push::Rejected;
        }
        // The receiver is in `self`, so the channel can't be disconnected.
        let _ = self.waiting.send(frame.clone());
        self.drain();
        self.budget.evict_fullest();
        Push::Accepted
    }

    /// Counts bytes that will wait; returns the load before.
    fn reserve(&self, bytes: usize) -> u64 {
        let before = self.load.fetch_add(bytes as u64, Ordering::SeqCst);
        // The thread that sets OVERFLOWED takes all that was counted before off the budget. The
        // load is one word, so this step is either before that or after.
        if before & OVERFLOWED == 0 {
            self.budget.add(bytes as u64);
        }
        before
    }

    /// Counts bytes as no longer waiting.
    fn release(&self, bytes: usize) {
        let before = self.load.fetch_sub(bytes as u64, Ordering::SeqCst);
        if before & OVERFLOWED == 0 {
            self.budget.remove(bytes as u64);
        }
    }

    /// What identifies the queue in the budget's list.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Writes what waits, unless another thread is writing or the socket is full.
    pub fn drain(&self) {
        loop {
            // Either this thread gets the lock, or its holder sees what this thread queued when
            // it looks again: on both sides, the fence lies between the queue and the lock.
            fence(Ordering::SeqCst);
            let Some(mut writer) = self.writer.try_lock() else {
                return;
            };
            if writer.stalled_since.is_some() || self.write_waiting(&mut writer) == Flow::Stalled {
                return;
            }
            drop(writer);
            if !self.has_work() {
                return;
            }
        }
    }

    fn with_writer<T>(&self, act: impl FnOnce(&mut Writer) -> T) -> T {
        let mut writer = self.writer.lock();
        let outcome = act(&mut writer);
        drop(writer);
        self.look_again();
        outcome
    }

    /// Called after the lock was released: a push may have found it held.
    fn look_again(&self) {
        if self.has_work() {
            self.drain();
        }
    }

    /// See [`super::SendQueue::state`].
    pub fn state(&self) -> QueueState {
        match self.load.load(Ordering::SeqCst) {
            load if load & BROKEN != 0 => QueueState::Broken,
            load if load & OVERFLOWED != 0 => QueueState::Overflowed,
            _ => QueueState::Open,
        }
    }

    fn has_work(&self) -> bool {
        fence(Ordering::SeqCst);
        // Bytes are reserved before they are queued; most often there are none.
        self.load.load(Ordering::SeqCst) & BYTES != 0 && !self.queue.is_empty()
    }

    fn write_waiting(&self, writer: &mut Writer) -> Flow {
        loop {
            if writer.in_flight.is_empty() {
                match self.next_batch(writer) {
                    Some(batch) => {
                        writer.in_flight_size = batch.len();
                        writer.in_flight = batch;
                    }
                    None => break,
                }
            }
            match self.socket.send(&writer.in_flight) {
                Ok(sent) => {
                    writer.in_flight = writer.in_flight.slice(sent..);
                    self.release(sent);
                    writer.stalled_since = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stall(writer);
                    return Flow::Stalled;
                }
                Err(_) => {
                    self.break_off(writer);
                    break;
                }
            }
        }
        writer.stalled_since = None;
        if std::mem::take(&mut writer.is_listed) {
            self.budget.unlist(self.key());
        }
        Flow::Clear
    }

    /// The next bytes to write: some frames, or the last one when no other can follow.
    fn next_batch(&self, writer: &mut Writer) -> Option<Bytes> {
        while let Ok(frame) = self.queue.try_recv() {
            if self.state() == QueueState::Open {
                return Some(self.join_waiting(frame));
            }
            self.release(frame.len() + FRAME_COST);
        }
        // A push that has reserved and not queued yet drains by itself, and gets here then.
        if self.load.load(Ordering::SeqCst) & BYTES != 0 {
            return None;
        }
        // Nothing can be dropped from here on, so this is the moment to know whether something was.
        let last = match (writer.last.take()?, self.state()) {
            (_, QueueState::Overflowed) => self.too_slow.clone(),
            (last, _) => last,
        };
        self.reserve(last.len());
        Some(last)
    }

    /// Joins a frame with others that wait, if they are small. From then on, only its bytes count.
    fn join_waiting(&self, first: Bytes) -> Bytes {
        let mut cost = FRAME_COST;
        let mut batch = first;
        if batch.len() < BATCH && !self.queue.is_empty() {
            let mut joined = BytesMut::from(batch);
            while joined.len() < BATCH {
                let Ok(frame) = self.queue.try_recv() else {
                    break;
                };
                joined.extend_from_slice(&frame);
                cost += FRAME_COST;
            }
            batch = joined.freeze();
        }
        self.release(cost);
        batch
    }

    fn stall(&self, writer: &mut Writer) {
        writer.free_what_was_sent();
        writer.stalled_since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut writer.is_listed, true) {
            self.budget.list(self.key(), self.me.clone());
        }
        self.waker.wake();
    }

    /// Drops all that waits: the peer is gone.
    fn break_off(&self, writer: &mut Writer) {
        self.load.fetch_or(CLOSED | BROKEN, Ordering::SeqCst);
        self.release(writer.in_flight.len());
        *writer = Writer {
            is_listed: writer.is_listed,
            ..Writer::default()
        };
        while self.next_batch(writer).is_some() {}
        self.waker.wake();
    }
}

impl Waiting for Shared {
    fn waiting_bytes(&self) -> u64 {
        match self.load.load(Ordering::SeqCst) {
            load if load & OVERFLOWED != 0 => 0,
            load => load & BYTES,
        }
    }

    /// The owner is woken, drops what waits, and disconnects the subscriber.
    fn overflow(&self) {
        let before = self.load.fetch_or(CLOSED | OVERFLOWED, Ordering::SeqCst);
        if before & OVERFLOWED == 0 {
            self.budget.remove(before & BYTES);
        }
        self.waker.wake();
    }
}

/// Takes what still waits off the budget.
impl Drop for Shared {
    fn drop(&mut self) {
        self.overflow();
        if self.writer.get_mut().is_listed {
            self.budget.unlist(self.key());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_rest_does_not_keep_what_it_was_a_part_of() {
        for (rest, is_kept) in [(BATCH, false), (BATCH + 1, true)] {
            let size = 64 * 1024;
            let whole = Bytes::from(vec![b'x'; size]);
            let mut writer = Writer {
                in_flight: whole.slice(size - rest..),
                in_flight_size: size,
                ..Writer::default()
            };
            writer.free_what_was_sent();
            assert_eq!(writer.in_flight, whole[size - rest..]);
            assert_eq!(whole.is_unique(), !is_kept, "{rest} of {size}");
            let expected = whole[size - rest..].to_vec();
            drop(whole);
            writer.free_what_was_sent(); // nobody shares it any more
            assert_eq!(writer.in_flight, expected);
            assert_eq!(writer.in_flight_size, rest);
        }
    }
}
