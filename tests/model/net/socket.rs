//! The model's `socket`: a send buffer of a few bytes, and its peer.
//!
//! A system call of the server is one step here. A peer can read, stop reading or reset the
//! connection; the owner of the socket can sleep until it can write, is woken, or nothing more is to
//! come.

use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};

use crate::net::sync::{Condvar, Mutex};
use crate::net::waker::Waker;

/// The server's end of a connection.
#[derive(Debug, Clone)]
pub struct Socket(Arc<Wire>);

/// The client's end of it.
#[derive(Debug)]
pub struct Peer(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    /// Guards the bytes in flight.
    flow: Mutex<Flow>,
    /// Notified when bytes were sent, for the peer that reads.
    sent: Condvar,
    /// The waker of the thread that sleeps until it can write.
    owner: OnceLock<Waker>,
    room: usize,
}

#[derive(Debug, Default)]
struct Flow {
    /// All that was ever sent; the peer has read up to `read`.
    bytes: Vec<u8>,
    read: usize,
    is_reset: bool,
}

/// A connection whose buffer holds `room` bytes.
pub fn connect(room: usize) -> (Socket, Peer) {
    let wire = Arc::new(Wire {
        flow: Mutex::default(),
        sent: Condvar::default(),
        owner: OnceLock::new(),
        room,
    });
    (Socket(wire.clone()), Peer(wire))
}

impl Socket {
    /// There is no cache here.
    pub fn prefetch(&self) {}

    /// Takes as many bytes as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when the buffer is full, `ConnectionReset` when the peer is gone.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut flow = self.0.flow.lock();
        if flow.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let room = self.0.room - (flow.bytes.len() - flow.read);
        let sent = room.min(bytes.len());
        flow.bytes.extend_from_slice(&bytes[..sent]);
        drop(flow);
        if sent == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.0.sent.notify_all();
        Ok(sent)
    }

    /// Names the waker of the thread that sleeps in [`sleep`] over this socket.
    pub fn belongs_to(&self, owner: &Waker) {
        let _ = self.0.owner.set(owner.clone()); // once per scene
    }

    /// What `poll` calls writable: a send would not say `WouldBlock`.
    fn is_writable(&self) -> bool {
        let flow = self.0.flow.lock();
        flow.is_reset || flow.bytes.len() - flow.read < self.0.room
    }
}

impl Peer {
    /// Everything that was ever sent, read or not.
    pub fn seen(&self) -> Vec<u8> {
        self.0.flow.lock().bytes.clone()
    }

    /// Empties the buffer.
    pub fn read(&self) {
        let mut flow = self.0.flow.lock();
        flow.read = flow.bytes.len();
        drop(flow);
        self.wake_owner();
    }

    /// Reads until `size` bytes have come in all.
    pub fn read_up_to(&self, size: usize) {
        let mut flow = self.0.flow.lock();
        while flow.bytes.len() < size {
            if flow.read == flow.bytes.len() {
                self.0.sent.wait(&mut flow);
            } else {
                flow.read = flow.bytes.len();
                drop(flow);
                self.wake_owner();
                flow = self.0.flow.lock();
            }
        }
        drop(flow);
        self.read();
    }

    /// Breaks the connection: nothing can be sent any more.
    pub fn reset(&self) {
        self.0.flow.lock().is_reset = true;
        self.wake_owner();
    }

    fn wake_owner(&self) {
        if let Some(owner) = self.0.owner.get() {
            // Under the lock that the sleeping thread holds while it looks, so that it can't miss this.
            drop(owner.0.state.lock());
            owner.0.changed.notify_all();
        }
    }
}

/// Why [`sleep`] woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Woken {
    /// The waker was woken.
    pub is_woken: bool,
    /// The socket can be written, and that was asked.
    pub can_write: bool,
    /// Nothing more is to come.
    pub is_over: bool,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// The waker.
    Waker,
    /// The waker, or that the socket can be written.
    WakerAndRoom,
}

/// The server's `poll`, over one socket and the waker of its queue.
pub fn sleep(socket: &Socket, waker: &Waker, interest: Interest) -> Woken {
    let mut state = waker.0.state.lock();
    loop {
        let woken = Woken {
            is_woken: state.is_woken,
            can_write: interest == Interest::WakerAndRoom && socket.is_writable(),
            is_over: state.is_over,
        };
        if woken.is_woken || woken.can_write || woken.is_over {
            return woken;
        }
        waker.0.changed.wait(&mut state);
    }
}
