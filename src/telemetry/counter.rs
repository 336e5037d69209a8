//! What counts: one number, one for each of a closed set of labels, or durations by size.
//!
//! Each number is one relaxed atomic that only grows. Numbers that belong together are not read
//! at one moment, so a sum is made of what was read, not counted a second time.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing has happened yet.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// It has happened once more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// It has happened so many times more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How often it has happened.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new()
    }
}

/// A closed set of values that a count can be told apart by.
pub trait Label: Copy {
    /// Each value as it is shown.
    const NAMES: &'static [&'static str];

    /// Where in the list a value is.
    fn index(self) -> usize;

    /// The value as it is shown.
    fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// One number for each value of a label; `N` is how many there are.
#[derive(Debug)]
pub struct CounterVec<L, const N: usize> {
    counters: [Counter; N],
    label: PhantomData<fn(L)>,
}

impl<L: Label, const N: usize> CounterVec<L, N> {
    /// Nothing has happened yet.
    pub const fn new() -> CounterVec<L, N> {
        CounterVec {
            counters: [const { Counter::new() }; N],
            label: PhantomData,
        }
    }

    /// It has happened once more with this label.
    pub fn add_one(&self, label: L) {
        self.counters[label.index()].add_one();
    }

    /// How often it has happened with each label.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let totals = self.counters.iter().map(Counter::total);
        L::NAMES.iter().copied().zip(totals)
    }
}

impl<L: Label, const N: usize> Default for CounterVec<L, N> {
    fn default() -> CounterVec<L, N> {
        CounterVec::new()
    }
}

/// Up to how long the durations in each bucket of a histogram are, in nanoseconds: from what a
/// broadcast takes to a channel of one, to what nobody wants to wait for.
const BOUNDS: [u64; 14] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// How long something took, by size.
#[derive(Debug)]
pub struct Histogram {
    /// One for each bound, and one for what is longer than all of them.
    buckets: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

/// What a histogram held at one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Observed {
    /// Bounds, and how many took no longer than that.
    pub buckets: Vec<(Duration, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long they took together.
    pub sum: Duration,
}

impl Histogram {
    /// Nothing has happened yet.
    pub const fn new() -> Histogram {
        Histogram {
            buckets: [const { Counter::new() }; BOUNDS.len() + 1],
            nanoseconds: Counter::new(),
        }
    }

    /// It has happened once more, and took so long.
    pub fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanoseconds);
        self.buckets[bucket].add_one();
        self.nanoseconds.add(nanoseconds);
    }

    /// What it holds now.
    pub fn observed(&self) -> Observed {
        let mut count = 0;
        let mut up_to = |bucket: &Counter| {
            count += bucket.total();
            count
        };
        let bounds = BOUNDS.iter().map(|bound| Duration::from_nanos(*bound));
        let buckets = bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| (bound, up_to(bucket)))
            .collect();
        let longest = &self.buckets[BOUNDS.len()];
        Observed {
            buckets,
            count: up_to(longest),
            sum: Duration::from_nanos(self.nanoseconds.total()),
        }
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_that_is_a_bound_is_within_it() {
        let histogram = Histogram::new();
        for micros in [50, 51, 1_000_000, 1_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let observed = histogram.observed();
        assert_eq!(observed.buckets[0], (Duration::from_micros(50), 1));
        assert_eq!(observed.buckets[1], (Duration::from_micros(100), 2));
        assert_eq!(observed.buckets[13], (Duration::from_secs(1), 3));
        assert_eq!(observed.sum, Duration::from_micros(2_000_102));
        assert_eq!(observed.count, 4);
    }

    proptest! {
        #[test]
        fn every_duration_is_in_each_bucket_that_is_wide_enough(
            micros in prop::collection::vec(0_u64..2_000_000, 0..50),
        ) {
            let histogram = Histogram::new();
            micros.iter().for_each(|&time| histogram.observe(Duration::from_micros(time)));
            let observed = histogram.observed();
            for (bound, count) in observed.buckets {
                let within = micros.iter().filter(|&&time| Duration::from_micros(time) <= bound);
                prop_assert_eq!(count, within.count() as u64);
            }
            prop_assert_eq!(observed.count, micros.len() as u64);
        }
    }
}
