//! What goes to one subscriber: a queue, and the right to write its socket.
//!
//! Waking a thread costs four times as much as the write that it would do, so whoever
//! pushes a frame writes it too, as long as the socket takes it. Only when it does not
//! is the subscriber's own thread rung, which goes on when `poll` says writable. This is
//! the only way to the socket, so frames can't interleave. It knows no HTTP, JSON or JWT.

mod total;

use std::io::{self, ErrorKind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::socket::{Doorbell, Socket};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, Receiver, Sender, fence, unbounded};

pub use total::QueueTotal;

/// Waiting frames are joined up to this many bytes, to go out in one write.
const BATCH: usize = 16 * 1024;

/// Flags in the top bits of `Shared::load`; the bits below count bytes.
const SEALED: u64 = 1 << 63;
const OVERFLOWED: u64 = 1 << 62;
const BROKEN: u64 = 1 << 61;
const BYTES: u64 = BROKEN - 1;

/// What became of a frame that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// Written, or waiting for its turn.
    Taken,
    /// The subscriber is too slow, closing or gone.
    Refused,
}

/// Whether the outbox still takes frames, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It takes frames, or was sealed on purpose.
    Sound,
    /// More waited than may, for it or for all; what still waits is dropped.
    Overflowed,
    /// The socket refused a write: the peer is gone.
    Broken,
}

/// What happens to waiting frames when the outbox is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// They go out before the last frame.
    Keep,
    /// They are dropped, but for the frame that was begun.
    Drop,
}

/// A handle on one subscriber's outbox; clones share it.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
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
    total: QueueTotal,
    bell: Doorbell,
    me: Weak<Shared>,
}

#[derive(Debug, Default)]
struct Writer {
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

impl Outbox {
    /// An outbox that writes to `socket`, lets at most `limit` bytes wait, and counts them
    /// towards the `total` of all.
    ///
    /// # Errors
    /// When descriptors have run out: it needs one for its bell.
    pub fn new(socket: Socket, limit: usize, total: QueueTotal) -> io::Result<Outbox> {
        let (waiting, queue) = unbounded();
        let bell = Doorbell::new()?;
        Ok(Outbox(Arc::new_cyclic(|me| Shared {
            writer: Mutex::default(),
            load: AtomicU64::new(0),
            socket,
            waiting,
            queue,
            limit: limit as u64,
            total,
            bell,
            me: me.clone(),
        })))
    }

    /// Hands over whole frames, one or several: written at once if the socket takes it, else queued.
    pub fn push(&self, frame: &Bytes) -> Push {
        let shared = &*self.0;
        if let Some(mut writer) = shared.writer.try_lock() {
            // Under the lock, nothing reserved means nothing queued, stalled or sealed.
            if shared.load.load(Ordering::SeqCst) == 0 {
                let push = shared.write_at_once(&mut writer, frame);
                let is_whole = writer.in_flight.is_empty();
                drop(writer);
                shared.look_again();
                if !is_whole {
                    shared.relieve();
                }
                return push;
            }
        }
        shared.enqueue(frame)
    }

    /// Takes no more frames; `last` goes out when nothing else waits. Only the first call counts.
    ///
    /// For the owner, who then resumes until the outbox is empty: a push that is being refused
    /// right now has counted its bytes for a moment, and then nobody else writes `last`.
    pub fn seal(&self, last: Bytes, backlog: Backlog) {
        let load = &self.0.load;
        self.0.with_writer(|writer| {
            if load.fetch_or(SEALED, Ordering::SeqCst) & BROKEN == 0 && !writer.has_last {
                writer.last = Some(last);
                writer.has_last = true;
                writer.drops_backlog = backlog == Backlog::Drop;
            }
        });
        self.0.drain();
    }

    /// Lets pushes only queue until the guard is dropped, then writes them together.
    pub fn cork(&self) -> Cork<'_> {
        Cork {
            outbox: self,
            writer: Some(self.0.writer.lock()),
        }
    }

    /// Goes on writing after a stall; for the owner, when `poll` said writable.
    pub fn resume(&self) {
        self.0.with_writer(|writer| self.0.write_waiting(writer));
    }

    /// Since when the socket has taken nothing although something waits.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.0.with_writer(|writer| writer.stalled_since)
    }

    /// Whether everything that was pushed has been handed to the kernel.
    pub fn is_empty(&self) -> bool {
        let load = &self.0.load;
        self.0
            .with_writer(|writer| load.load(Ordering::SeqCst) & BYTES == 0 && writer.last.is_none())
    }

    /// Whether the subscriber has to go, because it was too slow or is gone.
    pub fn verdict(&self) -> Verdict {
        self.0.verdict()
    }

    /// What the owner polls to hear of a stall or a verdict.
    pub fn bell(&self) -> &Doorbell {
        &self.0.bell
    }

    /// Wakes the owner, for a reason that is not in the outbox.
    pub fn ring(&self) {
        self.0.bell.ring();
    }

    /// Silences the bell; look at the stall and the verdict afterwards, not before.
    pub fn answer_bell(&self) {
        self.0.bell.answer();
    }
}

/// While it lives, frames queue; see [`Outbox::cork`].
pub struct Cork<'a> {
    outbox: &'a Outbox,
    writer: Option<MutexGuard<'a, Writer>>,
}

impl Drop for Cork<'_> {
    fn drop(&mut self) {
        self.writer = None;
        self.outbox.0.drain();
    }
}

impl Shared {
    /// The short way: nothing waits, so the frame needs no queue and no count.
    fn write_at_once(&self, writer: &mut Writer, frame: &Bytes) -> Push {
        let sent = match self.socket.send(frame) {
            Ok(sent) if sent == frame.len() => return Push::Taken,
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.break_off(writer);
                return Push::Refused;
            }
        };
        writer.in_flight = frame.slice(sent..);
        self.reserve(writer.in_flight.len());
        self.stall(writer);
        Push::Taken
    }

    fn enqueue(&self, frame: &Bytes) -> Push {
        let before = self.reserve(frame.len());
        let waits = before & BYTES;
        let is_over = waits > 0 && waits + frame.len() as u64 > self.limit;
        if before & SEALED != 0 || is_over {
            self.release(frame.len());
            if before & SEALED == 0 {
                self.overflow();
            }
            self.look_again(); // another push may have met the lock while we looked at the load
            return Push::Refused;
        }
        // The other end is in `self`, so the channel can't be disconnected.
        let _ = self.waiting.send(frame.clone());
        self.drain();
        self.relieve();
        Push::Taken
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
    fn overflow(&self) {
        let before = self.load.fetch_or(SEALED | OVERFLOWED, Ordering::SeqCst);
        if before & OVERFLOWED == 0 {
            self.total.remove(before & BYTES);
        }
        self.bell.ring();
    }

    /// Lets those go for whom most waits, until all together wait for what they may. Takes no
    /// lock of another outbox: its holder may be waiting for us.
    fn relieve(&self) {
        while self.total.is_over() {
            let Some(largest) = self.total.largest() else {
                return;
            };
            largest.overflow();
        }
    }

    /// The bytes that this one has in the total.
    fn countable(&self) -> u64 {
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
    fn drain(&self) {
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

    fn verdict(&self) -> Verdict {
        match self.load.load(Ordering::SeqCst) {
            load if load & BROKEN != 0 => Verdict::Broken,
            load if load & OVERFLOWED != 0 => Verdict::Overflowed,
            _ => Verdict::Sound,
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
            let is_dropped = writer.drops_backlog || self.verdict() == Verdict::Overflowed;
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
        self.load.fetch_or(SEALED | BROKEN, Ordering::SeqCst);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    const LIMIT: usize = 64 * 1024;

    /// An outbox and the peer that it writes to.
    fn pair(limit: usize) -> (Outbox, TcpStream) {
        pair_in(&QueueTotal::new(usize::MAX), limit)
    }

    pub(super) fn pair_in(total: &QueueTotal, limit: usize) -> (Outbox, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let (stream, _) = listener.accept().unwrap();
        let outbox = Outbox::new(Socket::new(stream), limit, total.clone());
        (outbox.unwrap(), peer)
    }

    pub(super) fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    pub(super) fn read(peer: &mut TcpStream, size: usize) -> Vec<u8> {
        let mut buffer = vec![0; size];
        peer.read_exact(&mut buffer).unwrap();
        buffer
    }

    /// Pushes until the socket is full and something waits.
    pub(super) fn fill(outbox: &Outbox) -> usize {
        let frame = Bytes::from(vec![b'.'; 16 * 1024]);
        let mut pushed = 0;
        while outbox.stalled_since().is_none() {
            assert_eq!(outbox.push(&frame), Push::Taken);
            pushed += frame.len();
        }
        pushed
    }

    /// What the owner does when `poll` says writable.
    fn drain(outbox: &Outbox) {
        while !outbox.is_empty() {
            outbox.resume();
            thread::yield_now();
        }
    }

    #[test]
    fn a_frame_is_written_by_whoever_pushes_it() {
        let (outbox, mut peer) = pair(LIMIT);
        assert_eq!(outbox.push(&bytes("hi")), Push::Taken);
        assert!(outbox.is_empty());
        assert_eq!(read(&mut peer, 2), b"hi");
    }

    #[test]
    fn what_the_socket_does_not_take_waits_for_the_owner() {
        let (outbox, mut peer) = pair(LIMIT);
        let pushed = fill(&outbox);
        assert_eq!(outbox.push(&bytes("last")), Push::Taken);
        let reader = thread::spawn(move || read(&mut peer, pushed + 4));
        drain(&outbox);
        assert_eq!(reader.join().unwrap()[pushed..], *b"last");
        assert!(outbox.stalled_since().is_none());
    }

    #[test]
    fn more_than_the_limit_overflows_for_good() {
        let (outbox, _peer) = pair(LIMIT);
        fill(&outbox);
        assert_eq!(outbox.push(&Bytes::from(vec![0; LIMIT])), Push::Refused);
        assert_eq!(outbox.verdict(), Verdict::Overflowed);
        assert_eq!(outbox.push(&bytes("small")), Push::Refused);
    }

    #[test]
    fn a_frame_over_the_limit_is_taken_when_nothing_waits() {
        let (outbox, mut peer) = pair(10);
        let large = Bytes::from(vec![b'x'; 8 << 20]);
        assert_eq!(outbox.push(&large), Push::Taken);
        assert_eq!(outbox.push(&bytes("more")), Push::Refused);
        let reader = thread::spawn(move || read(&mut peer, 8 << 20));
        drain(&outbox);
        assert_eq!(reader.join().unwrap(), large);
    }

    #[test]
    fn a_sealed_outbox_keeps_its_backlog_and_takes_no_more() {
        let (outbox, mut peer) = pair(LIMIT);
        let pushed = fill(&outbox);
        assert_eq!(outbox.push(&bytes("kept")), Push::Taken);
        outbox.seal(bytes("bye"), Backlog::Keep);
        outbox.seal(bytes("twice"), Backlog::Drop);
        assert_eq!(outbox.push(&bytes("late")), Push::Refused);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all).unwrap()
        });
        drain(&outbox);
        drop(outbox);
        assert_eq!(reader.join().unwrap()[pushed..], *b"keptbye");
    }

    #[test]
    fn a_dropped_backlog_leaves_the_frame_that_was_begun() {
        let (outbox, mut peer) = pair(LIMIT);
        let pushed = fill(&outbox);
        assert_eq!(outbox.push(&bytes("dropped")), Push::Taken);
        outbox.seal(bytes("bye"), Backlog::Drop);
        let reader = thread::spawn(move || read(&mut peer, pushed + 3));
        drain(&outbox);
        assert_eq!(reader.join().unwrap()[pushed..], *b"bye");
    }

    #[test]
    fn a_cork_lets_frames_wait_and_go_together() {
        let (outbox, mut peer) = pair(LIMIT);
        let cork = outbox.cork();
        assert_eq!(outbox.push(&bytes("one")), Push::Taken);
        assert_eq!(outbox.push(&bytes("two")), Push::Taken);
        drop(cork);
        assert_eq!(read(&mut peer, 6), b"onetwo");
    }

    #[test]
    fn a_peer_that_is_gone_breaks_the_outbox() {
        let (outbox, peer) = pair(LIMIT);
        fill(&outbox);
        drop(peer); // with unread input: a reset
        while outbox.verdict() == Verdict::Sound {
            outbox.resume();
        }
        assert_eq!(outbox.verdict(), Verdict::Broken);
        assert_eq!(outbox.push(&bytes("x")), Push::Refused);
        assert!(outbox.is_empty());
    }

    #[test]
    fn frames_of_many_threads_arrive_whole_once_and_in_each_ones_order() {
        const THREADS: u32 = 4;
        const FRAMES: u32 = 20_000;
        let (outbox, mut peer) = pair(usize::MAX);
        let pushers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let outbox = outbox.clone();
                thread::spawn(move || {
                    for number in 0..FRAMES {
                        let frame = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                        assert_eq!(outbox.push(&frame.into()), Push::Taken);
                    }
                })
            })
            .collect();
        let reader = thread::spawn(move || {
            let mut next = [0; THREADS as usize];
            for _ in 0..THREADS * FRAMES {
                let frame = read(&mut peer, 8);
                let (thread, number) = frame.split_at(4);
                let thread = u32::from_be_bytes(thread.try_into().unwrap()) as usize;
                assert_eq!(number, u32::to_be_bytes(next[thread]));
                next[thread] += 1;
            }
        });
        while pushers.iter().any(|pusher| !pusher.is_finished()) || !outbox.is_empty() {
            if outbox.stalled_since().is_some() {
                outbox.resume();
            }
            thread::yield_now();
        }
        reader.join().unwrap();
    }
}
