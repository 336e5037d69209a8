//! Channels and their subscribers: the way of a message from a broadcast to the sockets.
//!
//! [`Hub::broadcast`] finds the channel, whose [`batch`] gives messages one order and lets those
//! that meet share a write; the leader of a batch pushes it to the [`queue`] of each subscriber,
//! in the form of its transport ([`Encode`]). Backpressure is `queue`'s: what waits for a
//! subscriber, and what for all of them. Knows no HTTP, JSON, JWT or WebSocket.

pub mod batch;
mod channels;
mod message;
pub mod queue;
mod subscriber_list;
mod subscriptions;

use std::sync::Arc;

use bytes::Bytes;

pub use message::{Encode, Message};
pub use subscriptions::Subscriptions;

use crate::net::sync::Ordering;
use channels::Channels;
use queue::SendQueue;
use subscriber_list::Subscriber;

/// A handle on all channels; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Channels>);

/// Counts of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages that subscribers accepted since the start.
    pub deliveries: u64,
    /// Encoded bytes of those messages, framing included, once for each delivery.
    pub delivered_bytes: u64,
    /// Connected subscribers.
    pub connected: usize,
    /// Channels with at least one subscriber.
    pub channels: usize,
    /// Pairs of a subscriber and a channel that it has joined.
    pub subscriptions: usize,
}

impl Hub {
    /// Connects a subscriber, whose transport sends messages in the form of `encode`. It has
    /// joined no channel yet.
    pub fn connect(&self, queue: SendQueue, encode: Encode) -> Subscriptions {
        Subscriptions::new(self.0.clone(), Subscriber { queue, encode })
    }

    /// Sends a message to every subscriber of a channel; returns how many accepted it.
    pub fn broadcast(&self, channel: &str, payload: Bytes) -> usize {
        match self.0.find(channel) {
            Some(channel) => self.0.send(&channel, payload),
            None => 0,
        }
    }

    /// The counts at this moment.
    pub fn stats(&self) -> Stats {
        let channels = &self.0;
        Stats {
            deliveries: channels.deliveries.load(Ordering::Relaxed),
            delivered_bytes: channels.delivered_bytes.load(Ordering::Relaxed),
            connected: channels.connected.load(Ordering::Relaxed),
            channels: channels.len(),
            subscriptions: channels.subscriptions.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
