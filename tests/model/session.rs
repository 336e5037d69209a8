//! What the thread of a subscriber does with its send queue, as `websocket::session` does it.

use crate::hub::queue::SendQueue;
use crate::net::socket::{Interest, Socket, sleep};

/// One iteration of a session: sleeps, clears the wake-up, writes. False when it is to end.
pub fn iterate(queue: &SendQueue, socket: &Socket) -> bool {
    let interest = match queue.stalled_since() {
        Some(_) => Interest::WakerAndRoom,
        None => Interest::Waker,
    };
    let woken = sleep(socket, queue.waker(), interest);
    if woken.is_woken {
        queue.clear_waker();
    }
    if woken.can_write {
        queue.resume();
    }
    !woken.is_over
}
