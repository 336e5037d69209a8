//! Measures memory with a counting allocator.

use peak_alloc::PeakAlloc;

#[global_allocator]
static METER: PeakAlloc = PeakAlloc;

/// Runs `act`; gives the peak of what the process allocated meanwhile, in bytes.
///
/// Only meaningful while nothing else runs in the process.
pub fn peak<T>(act: impl FnOnce() -> T) -> (T, usize) {
    METER.reset_peak_usage();
    let before = METER.current_usage();
    let outcome = act();
    (outcome, METER.peak_usage().saturating_sub(before))
}
