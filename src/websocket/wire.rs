//! The connection as tungstenite sees it: it reads the socket and writes the send queue.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use tungstenite::Bytes;

use super::frame;
use super::frame_meter::FrameMeter;
use super::push::WebSocketPush;
use crate::net::socket::Socket;

/// The state of the receiving side.
pub struct Receiving {
    /// When bytes have come last.
    pub last_received: Instant,
    /// The frames that have come.
    pub meter: FrameMeter,
    /// Nothing more has arrived: another `recv` would find nothing until `poll` says so.
    pub is_drained: bool,
}

/// What one call of the parser may read and write.
///
/// It receives once. Then it says that nothing more is there, so that limits and the shutdown are
/// looked at: the parser itself returns only with a whole message, and a client may never end one.
pub struct Wire<'a> {
    socket: &'a Socket,
    push: &'a WebSocketPush,
    receiving: &'a mut Receiving,
    has_received: bool,
}

impl<'a> Wire<'a> {
    /// For one call of the parser.
    pub fn new(
        socket: &'a Socket,
        push: &'a WebSocketPush,
        receiving: &'a mut Receiving,
    ) -> Wire<'a> {
        Wire {
            socket,
            push,
            receiving,
            has_received: false,
        }
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.receiving.is_drained || self.has_received {
            return Err(ErrorKind::WouldBlock.into());
        }
        let received = self.socket.receive(buffer).inspect_err(|error| {
            self.receiving.is_drained = error.kind() == ErrorKind::WouldBlock;
        })?;
        self.has_received = true;
        self.receiving.last_received = Instant::now();
        self.receiving.is_drained = (1..buffer.len()).contains(&received);
        self.receiving.meter.feed(&buffer[..received]);
        self.push.note_received();
        Ok(received)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let bytes = Bytes::copy_from_slice(frame);
        if frame::is_close(frame) {
            self.push.queue().close(bytes);
        } else {
            let _ = self.push.queue().push(&bytes); // rejected: the connection ends, and needs no pong
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
