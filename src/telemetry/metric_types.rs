//! The kinds of counters: one number, one number per label, and a histogram of durations.
//!
//! Each number is one relaxed atomic that only grows. Related numbers are not read at one moment,
//! so a histogram's total is the sum of the buckets that were read, not a counter of its own.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at 0.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Adds 1.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The count since the start.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new()
    }
}

/// A closed set of values that a counter can be broken down by. Closed, so that nothing a client
/// sends can add a time series.
pub trait Label: Copy {
    /// Each value as Prometheus shows it, by its index.
    const NAMES: &'static [&'static str];

    /// The index of a value in [`Label::NAMES`].
    fn index(self) -> usize;

    /// The value as Prometheus shows it.
    fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// One counter for each value of a label; `N` is the number of values.
#[derive(Debug)]
pub struct CounterVec<L, const N: usize> {
    counters: [Counter; N],
    label: PhantomData<fn(L)>,
}

impl<L: Label, const N: usize> CounterVec<L, N> {
    /// Counters at 0.
    pub const fn new() -> CounterVec<L, N> {
        CounterVec {
            counters: [const { Counter::new() }; N],
            label: PhantomData,
        }
    }

    /// Adds 1 to the counter of this label.
    pub fn add_one(&self, label: L) {
        self.counters[label.index()].add_one();
    }

    /// The count of each label since the start.
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

/// The upper bound of each bucket of a histogram, in nanoseconds: from a broadcast to a channel of
/// one subscriber (50 µs) to one second.
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

/// Durations, counted by size.
#[derive(Debug)]
pub struct Histogram {
    /// One for each bound, and a last one for durations over all bounds.
    buckets: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

/// What a histogram held when it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Observed {
    /// Each bound with the number of durations up to it.
    pub buckets: Vec<(Duration, u64)>,
    /// The number of durations.
    pub count: u64,
    /// The sum of the durations.
    pub sum: Duration,
}

impl Histogram {
    /// A histogram without durations.
    pub const fn new() -> Histogram {
        Histogram {
            buckets: [const { Counter::new() }; BOUNDS.len() + 1],
            nanoseconds: Counter::new(),
        }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanoseconds);
        self.buckets[bucket].add_one();
        self.nanoseconds.add(nanoseconds);
    }

    /// Reads all buckets.
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
    fn a_bound_includes_a_duration_of_its_size() {
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
        fn each_bucket_counts_every_duration_up_to_its_bound(
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
