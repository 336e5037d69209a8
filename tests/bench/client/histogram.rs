//! A histogram of latencies: millions of deliveries in a few kilobytes.
//!
//! Buckets grow with the value: 32 to each power of two, so a quantile is at most 3 % off.

use std::time::Duration;

const STEPS_PER_OCTAVE: u32 = 32;
const STEP_BITS: u32 = STEPS_PER_OCTAVE.ilog2();
/// Enough for 2^40 ns, which is 18 minutes.
const BUCKETS: usize = (40 * STEPS_PER_OCTAVE) as usize;

/// Counts durations by size.
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// No durations yet.
    pub fn new() -> Histogram {
        Histogram {
            buckets: vec![0; BUCKETS],
            count: 0,
        }
    }

    /// Counts one.
    #[inline]
    pub fn record(&mut self, duration: Duration) {
        let nanos = (duration.as_nanos() as u64).max(u64::from(STEPS_PER_OCTAVE));
        let octave = nanos.ilog2() - STEP_BITS;
        let step = (nanos >> octave) as u32 - STEPS_PER_OCTAVE;
        let bucket = (octave * STEPS_PER_OCTAVE + step) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
    }

    /// The duration that this share of all do not exceed; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return upper_end(bucket as u32);
            }
        }
        Duration::ZERO
    }
}

fn upper_end(bucket: u32) -> Duration {
    let (octave, step) = (bucket / STEPS_PER_OCTAVE, bucket % STEPS_PER_OCTAVE);
    Duration::from_nanos(u64::from(STEPS_PER_OCTAVE + step + 1) << octave)
}
