//! The subscribers of one channel, and the fan-out of a batch to them.

use super::message::{Encode, Encodings, Message};
use super::queue::{Push, SendQueue};

/// How many queues are prefetched together: fewer than the loads that a processor has in
/// flight, and still in its first cache when they are written.
const PREFETCHED: usize = 8;

/// A subscriber, as a channel sees it.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// What messages are pushed to.
    pub queue: SendQueue,
    /// The form in which its transport sends them.
    pub encode: Encode,
}

/// The subscribers of a channel, in the order in which they joined.
///
/// Keys only grow, so the list is sorted by them, and leaving is a binary search. An entry whose
/// subscriber has left stays empty until half of them are.
#[derive(Debug, Default)]
pub struct SubscriberList {
    entries: Vec<Entry>,
    len: usize,
    next_key: u64,
    is_retired: bool,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    subscriber: Option<Subscriber>,
}

/// The result of a fan-out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FanOut {
    /// Subscribers that accepted the messages.
    pub subscribers: usize,
    /// Encoded bytes of the messages, once for each of them.
    pub bytes: u64,
}

impl SubscriberList {
    /// Pushes messages to every subscriber.
    pub fn fan_out(&self, messages: &[Message]) -> FanOut {
        let mut encodings = Encodings::new(messages);
        let mut result = FanOut::default();
        for entries in self.entries.chunks(PREFETCHED) {
            let subscribers = || entries.iter().filter_map(|entry| entry.subscriber.as_ref());
            if entries.len() > 1 {
                subscribers().for_each(|subscriber| subscriber.queue.prefetch());
            }
            for subscriber in subscribers() {
                let encoded = encodings.get(subscriber.encode);
                if subscriber.queue.push(encoded) == Push::Accepted {
                    result.subscribers += 1;
                    result.bytes += encoded.len() as u64;
                }
            }
        }
        result
    }

    /// Adds a subscriber; returns the key with which it leaves.
    pub fn join(&mut self, subscriber: Subscriber) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        if self.entries.is_empty() {
            // Many channels have one subscriber; a vector begins with room for four.
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry {
            key,
            subscriber: Some(subscriber),
        });
        self.len += 1;
        key
    }

    /// Removes a subscriber; the last one retires the list.
    pub fn leave(&mut self, key: u64) {
        if let Ok(index) = self.entries.binary_search_by_key(&key, |entry| entry.key) {
            self.entries[index].subscriber = None;
            self.len -= 1;
        }
        if self.entries.len() >= 2 * self.len {
            self.entries.retain(|entry| entry.subscriber.is_some());
            self.entries.shrink_to(2 * self.len);
        }
        self.is_retired = self.len == 0;
    }

    /// Whether the last subscriber has left: then the channel is removed, and none may join.
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::queue::QueueBudget;
    use crate::net::socket::Socket;
    use bytes::{Bytes, BytesMut};
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    fn subscriber(encode: Encode) -> (Subscriber, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let budget = QueueBudget::new(1 << 20);
        let queue = SendQueue::new(Socket::new(stream), 1 << 20, budget, Bytes::new()).unwrap();
        (Subscriber { queue, encode }, peer)
    }

    fn plain(message: &Message, into: &mut BytesMut) {
        into.extend_from_slice(&message.payload);
    }

    fn doubled(message: &Message, into: &mut BytesMut) {
        plain(message, into);
        plain(message, into);
    }

    #[test]
    fn entries_of_subscribers_that_left_are_removed() {
        let mut list = SubscriberList::default();
        let (subscriber, _peer) = subscriber(plain);
        let keys: Vec<_> = (0..100).map(|_| list.join(subscriber.clone())).collect();
        for key in &keys[..99] {
            list.leave(*key);
        }
        assert!(list.entries.len() <= 2 && list.entries.capacity() < 10);
        assert!(!list.is_retired());
        list.leave(keys[99]);
        assert!(list.is_retired());
    }

    #[test]
    fn each_subscriber_gets_the_form_of_its_transport() {
        let mut list = SubscriberList::default();
        let (one, mut plain_peer) = subscriber(plain);
        let (two, mut doubled_peer) = subscriber(doubled);
        list.join(one);
        list.join(two);
        let message = Message {
            offset: 1,
            channel: "x".into(),
            payload: Bytes::from_static(b"hi"),
        };
        let expected = FanOut {
            subscribers: 2,
            bytes: 6,
        };
        assert_eq!(list.fan_out(&[message]), expected);
        drop(list);
        let mut seen = String::new();
        plain_peer.read_to_string(&mut seen).unwrap();
        doubled_peer.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "hihihi");
    }
}
