//! The map of channels, and the counts of the hub.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::Batcher;
use super::message::Message;
use super::subscriber_list::{Subscriber, SubscriberList};
use crate::net::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// What the hub and every subscriber's subscriptions share.
///
/// The lock of the map is held to find, add or remove a channel; the lock of a channel's
/// subscribers for a fan-out. Both together are taken only in the order channel, map.
#[derive(Debug, Default)]
pub struct Channels {
    /// Guards which channels there are.
    by_name: Mutex<HashMap<Arc<str>, Arc<Channel>>>,
    /// The offset of the last message.
    offset: AtomicU64,
    /// Messages that subscribers accepted since the start.
    pub deliveries: AtomicU64,
    /// Encoded bytes of those.
    pub delivered_bytes: AtomicU64,
    /// Connected subscribers.
    pub connected: AtomicUsize,
    /// Pairs of a subscriber and a channel that it has joined.
    pub subscriptions: AtomicUsize,
}

/// A channel with at least one subscriber.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// Gives its messages one order.
    batcher: Batcher,
    /// Guards the subscribers. Held for a fan-out: pushes under it never wait.
    subscribers: Mutex<SubscriberList>,
}

impl Channels {
    /// The number of channels.
    pub fn len(&self) -> usize {
        self.by_name.lock().len()
    }

    /// A channel, if it has subscribers.
    pub fn find(&self, name: &str) -> Option<Arc<Channel>> {
        self.by_name.lock().get(name).cloned()
    }

    /// A channel, new if it has no subscribers.
    pub fn find_or_create(&self, name: &str) -> Arc<Channel> {
        let mut by_name = self.by_name.lock();
        if let Some(channel) = by_name.get(name) {
            return channel.clone();
        }
        let name: Arc<str> = name.into();
        let channel = Arc::new(Channel {
            name: name.clone(),
            batcher: Batcher::default(),
            subscribers: Mutex::default(),
        });
        by_name.insert(name, channel.clone());
        channel
    }

    /// Sends a message to the subscribers of a channel; returns how many accepted it.
    pub fn send(&self, channel: &Channel, payload: Bytes) -> usize {
        let message = Message {
            offset: 0,
            channel: channel.name.clone(),
            payload,
        };
        channel
            .batcher
            .send(message, |batch| self.flush(channel, batch))
    }

    /// Numbers the messages of a batch, and pushes them to every subscriber.
    fn flush(&self, channel: &Channel, batch: &mut [Message]) -> usize {
        let subscribers = channel.subscribers.lock();
        let count = batch.len() as u64;
        let last = self.offset.fetch_add(count, Ordering::Relaxed);
        for (message, offset) in batch.iter_mut().zip(last + 1..) {
            message.offset = offset;
        }
        let fan_out = subscribers.fan_out(batch);
        drop(subscribers);
        let deliveries = fan_out.subscribers as u64 * count;
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        self.delivered_bytes
            .fetch_add(fan_out.bytes, Ordering::Relaxed);
        fan_out.subscribers
    }

    /// Removes a subscriber from a channel, and the channel with its last one.
    pub fn leave(&self, channel: &Channel, key: u64) {
        let mut subscribers = channel.subscribers.lock();
        subscribers.leave(key);
        if subscribers.is_retired() {
            // Under the channel's lock: a join that finds it retired no longer finds it in the map.
            self.by_name.lock().remove(&channel.name);
        }
    }
}

impl Channel {
    /// Pushes the confirmation and adds the subscriber: every later message follows it. Returns
    /// its key, or none if the channel was removed meanwhile.
    pub fn join(&self, subscriber: &Subscriber, confirmation: &Bytes) -> Option<u64> {
        let mut subscribers = self.subscribers.lock();
        if subscribers.is_retired() {
            return None;
        }
        let _ = subscriber.queue.push(confirmation); // rejected: the connection ends, and leaves
        Some(subscribers.join(subscriber.clone()))
    }
}
