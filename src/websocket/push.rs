//! What the table of connections asks of a WebSocket connection.

use super::frame;
use crate::hub::queue::SendQueue;
use crate::net::connections::PushConnection;
use crate::protocol::close_frame::CloseFrame;

/// A WebSocket connection in the table of connections.
#[derive(Debug)]
pub struct WebSocketPush(SendQueue);

impl WebSocketPush {
    /// The connection with this send queue.
    pub fn new(queue: SendQueue) -> WebSocketPush {
        WebSocketPush(queue)
    }
}

impl PushConnection for WebSocketPush {
    fn ping(&self) {
        let _ = self.0.push(&frame::PING); // rejected: its session sees why, and ends
    }

    fn wake(&self) {
        self.0.wake();
    }

    fn close_evicted(&self) {
        self.0.close(frame::close(CloseFrame::ServerFull));
    }
}
