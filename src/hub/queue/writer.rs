//! How an outbox is shared: who pushes, who writes, and what waits in between.
//!
//! One lock guards the writing, one word counts what waits and says why nothing more may.
//! Each function says what the others may be doing meanwhile; the models in `tests/model`
//! try the orders in which they can meet.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Backlog, Push, QueueBudget, QueueState};
use crate::net::socket::{Socket, Waker};
use crate::net::sync::{
    AtomicU64, Mutex, MutexGuard, Ordering, Receiver, Sender, fence, unbounded,
};

/// Waiting frames are joined up to this many bytes, to go out in one write.
const BATCH: usize = 16 * 1024;

/// Flags in the top bits of `Shared::load`; the bits below count bytes.
const CLOSED: u64 = 1 << 63;
const OVERFLOWED: u64 = 1 << 62;
const BROKEN: u64 = 1 << 61;
const BYTES: u64 = BROKEN - 1;

/// What the clones of an outbox have in common.
#[derive(Debug)]
pub struct Shared {
    /// Guards the writing end of the socket. Nothing under it waits.
    writer: Mutex<Writer>,
    /// Bytes that wait, reserved before they are queued, and the flags above. One word,
    /// so that a frame is refused or sure to go out before the last one, never between.
    load: AtomicU64,
    socket: Socket,
    waiting: Sender<Bytes>,
    queue: Receiver<Bytes>,
    /// In bytes; what `load` may reach.
    limit: u64,
    /// What waits for all subscribers; this one counts until it overflows.
    total: QueueBudget,
    bell: Waker,
    me: Weak<Shared>,
}

/// What whoever writes the socket has to know.
#[derive(Debug, Default)]
pub struct Writer {
    /// The rest of what the socket took only in part: goes out before all else.
    in_flight: Bytes,
    /// The close frame, once sealed: goes out when nothing else waits.
    last: Option<Bytes>,
    has_last: bool,
    drops_backlog: bool,
    /// Since when the socket takes nothing; pushes only enqueue until the owner resumes.
    stalled_since: Option<Instant>,
    /// Whether the total's list has it: from the first stall until nothing waits.
    is_enlisted: bool,
}

/// Whether a drain got to the end of the queue.
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
    pub fn new(socket: Socket, limit: usize, total: QueueBudget) -> io::Result<Arc<Shared>> {
        let (waiting, queue) = unbounded();
        let bell = Waker::new()?;
        Ok(Arc::new_cyclic(|me| Shared {
            writer: Mutex::default(),
            load: AtomicU64::new(0),
            socket,
            waiting,
            queue,
            limit: limit as u64,
            total,
            bell,
            me: me.clone(),
        }))
    }

    /// See [`super::SendQueue::push`].
    pub fn push(&self, frame: &Bytes) -> Push {
        if let Some(mut writer) = self.writer.try_lock() {
            // Under the lock, nothing reserved means nothing queued, stalled or sealed.
            if self.load.load(Ordering::SeqCst) == 0 {
                let push = self.write_at_once(&mut writer, frame);
                let is_whole = writer.in_flight.is_empty();
                drop(writer);
                self.look_again();
                if !is_whole {
                    self.evict_largest();
                }
                return push;
            }
        }
        self.enqueue(frame)
    }

    /// See [`super::SendQueue::fetch`].
    pub fn fetch(&self) {
        black_box(self.load.load(Ordering::Relaxed));
        self.socket.fetch();
    }

    /// See [`super::SendQueue::seal`].
    pub fn close(&self, last: Bytes, backlog: Backlog) {
        let load = &self.load;
        self.with_writer(|writer| {
            if load.fetch_or(CLOSED, Ordering::SeqCst) & BROKEN == 0 && !writer.has_last {
                writer.last = Some(last);
                writer.has_last = true;
                writer.drops_backlog = backlog == Backlog::Drop;
            }
        });
        self.drain();
    }

    /// Keeps everybody from writing; whoever lets go has to drain.
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

    /// See [`super::SendQueue::bell`].
    pub fn bell(&self) -> &Waker {
        &self.bell
    }

    /// The short way: nothing waits, so the frame needs no queue and no count.
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
        self.reserve(writer.in_flight.len());
        self.stall(writer);
        Push::Accepted
    }

    fn enqueue(&self, frame: &Bytes) -> Push {
        let before = self.reserve(frame.len());
        let waits = before & BYTES;
        let is_over = waits > 0 && waits + frame.len() as u64 > self.limit;
        if before & CLOSED != 0 || is_over {
            self.release(frame.len());
            if before & CLOSED == 0 {
                self.overflow();
            }
            self.look_again(); // another push may have met the lock while we looked at the load
            return Push::Rejected;
        }
        // The other end is in `self`, so the channel can't be disconnected.
        let _ = self.waiting.send(frame.clone());
        self.drain();
        self.evict_largest();
        Push::Accepted
    }

    /// Counts bytes that will wait; gives the load before.
    fn reserve(&self, bytes: usize) -> u64 {
        let before = self.load.fetch_add(bytes as u64, Ordering::SeqCst);
        // Whoever raises the flag takes what was counted until then off the total, and each
        // step falls on one side of that: the load is one word.
        if before & OVERFLOWED == 0 {
            self.total.add(bytes as u64);
        }
        before
    }

    /// Counts bytes as gone.
    fn release(&self, bytes: usize) {
        let before = self.load.fetch_sub(bytes as u64, Ordering::SeqCst);
        if before & OVERFLOWED == 0 {
            self.total.remove(bytes as u64);
        }
    }

    /// The subscriber has to go: what waits is dropped by its owner, and counts no longer.
    pub fn overflow(&self) {
        let before = self.load.fetch_or(CLOSED | OVERFLOWED, Ordering::SeqCst);
        if before & OVERFLOWED == 0 {
            self.total.remove(before & BYTES);
        }
        self.bell.ring();
    }

    /// Lets those go for whom most waits, until all together wait for what they may. Takes no
    /// lock of another outbox: its holder may be waiting for us.
    fn evict_largest(&self) {
        while self.total.is_over() {
            let Some(largest) = self.total.largest() else {
                return;
            };
            largest.overflow();
        }
    }

    /// The bytes that this one has in the total.
    pub fn countable(&self) -> u64 {
        match self.load.load(Ordering::SeqCst) {
            load if load & OVERFLOWED != 0 => 0,
            load => load & BYTES,
        }
    }

    /// What names it in the total's list.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Writes what waits, unless somebody else is at it or the socket is full.
    pub fn drain(&self) {
        loop {
            // Either we get the lock, or its holder sees what we queued when it looks again:
            // the queue is written before the lock is tried, on both sides of the fence.
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

    /// For whoever has just released the lock: a push may have met it held.
    fn look_again(&self) {
        if self.has_work() {
            self.drain();
        }
    }

    pub fn state(&self) -> QueueState {
        match self.load.load(Ordering::SeqCst) {
            load if load & BROKEN != 0 => QueueState::Broken,
            load if load & OVERFLOWED != 0 => QueueState::Overflowed,
            _ => QueueState::Open,
        }
    }

    fn has_work(&self) -> bool {
        fence(Ordering::SeqCst);
        // Bytes are reserved before they are queued, and most often none are.
        self.load.load(Ordering::SeqCst) & BYTES != 0 && !self.queue.is_empty()
    }

    fn write_waiting(&self, writer: &mut Writer) -> Flow {
        loop {
            if writer.in_flight.is_empty() {
                match self.next_batch(writer) {
                    Some(batch) => writer.in_flight = batch,
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
        if std::mem::take(&mut writer.is_enlisted) {
            self.total.strike(self.key());
        }
        Flow::Clear
    }

    /// The next bytes to write: some frames, or the last one when no other can come.
    fn next_batch(&self, writer: &mut Writer) -> Option<Bytes> {
        while let Ok(frame) = self.queue.try_recv() {
            let is_dropped = writer.drops_backlog || self.state() == QueueState::Overflowed;
            if !is_dropped {
                return Some(self.join_waiting(frame));
            }
            self.release(frame.len());
        }
        // A push that has reserved but not queued yet drains for itself, and gets here then.
        if self.load.load(Ordering::SeqCst) & BYTES != 0 {
            return None;
        }
        let last = writer.last.take()?;
        self.reserve(last.len());
        Some(last)
    }

    /// Small frames that wait together go out together.
    fn join_waiting(&self, first: Bytes) -> Bytes {
        if first.len() >= BATCH || self.queue.is_empty() {
            return first;
        }
        let mut batch = BytesMut::from(first);
        while batch.len() < BATCH {
            let Ok(frame) = self.queue.try_recv() else {
                break;
            };
            batch.extend_from_slice(&frame);
        }
        batch.freeze()
    }

    fn stall(&self, writer: &mut Writer) {
        writer.stalled_since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut writer.is_enlisted, true) {
            self.total.enlist(self.key(), self.me.clone());
        }
        self.bell.ring();
    }

    /// The peer is gone: nothing that waits will ever go out.
    fn break_off(&self, writer: &mut Writer) {
        self.load.fetch_or(CLOSED | BROKEN, Ordering::SeqCst);
        self.release(writer.in_flight.len());
        *writer = Writer {
            drops_backlog: true,
            is_enlisted: writer.is_enlisted,
            ..Writer::default()
        };
        while self.next_batch(writer).is_some() {}
        self.bell.ring();
    }
}

/// What still waits is gone with its subscriber.
impl Drop for Shared {
    fn drop(&mut self) {
        self.overflow();
        if self.writer.get_mut().is_enlisted {
            self.total.strike(self.key());
        }
    }
}
