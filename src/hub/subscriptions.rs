//! The channels that one subscriber has joined.

use std::sync::Arc;

use bytes::Bytes;

use super::channels::{Channel, Channels};
use super::subscriber_list::Subscriber;
use crate::net::sync::Ordering;

/// A subscriber's channels. Dropping it leaves all of them.
#[derive(Debug)]
pub struct Subscriptions {
    channels: Arc<Channels>,
    subscriber: Subscriber,
    joined: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    channel: Arc<Channel>,
    /// The subscriber's key in the channel.
    key: u64,
}

impl Subscriptions {
    pub(super) fn new(channels: Arc<Channels>, subscriber: Subscriber) -> Subscriptions {
        channels.connected.fetch_add(1, Ordering::Relaxed);
        Subscriptions {
            channels,
            subscriber,
            joined: Vec::new(),
        }
    }

    /// Whether a channel was joined.
    pub fn contains(&self, channel: &str) -> bool {
        self.joined
            .iter()
            .any(|joined| &*joined.channel.name == channel)
    }

    /// The number of joined channels.
    pub fn count(&self) -> usize {
        self.joined.len()
    }

    /// Joins a channel and pushes the confirmation; every later message of the channel follows
    /// it. A channel that was joined already is confirmed again.
    pub fn join(&mut self, name: &str, confirmation: &Bytes) {
        if self.contains(name) {
            let _ = self.subscriber.queue.push(confirmation); // rejected: the connection ends
            return;
        }
        // Counted before the client learns of it.
        let subscriptions = &self.channels.subscriptions;
        subscriptions.fetch_add(1, Ordering::Relaxed);
        loop {
            let channel = self.channels.find_or_create(name);
            if let Some(key) = channel.join(&self.subscriber, confirmation) {
                self.joined.push(Subscription { channel, key });
                return;
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for Subscription { channel, key } in &self.joined {
            self.channels.leave(channel, *key);
            let subscriptions = &self.channels.subscriptions;
            subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        self.channels.connected.fetch_sub(1, Ordering::Relaxed);
    }
}
