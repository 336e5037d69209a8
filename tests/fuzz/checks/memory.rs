//! How much memory something takes, told by the allocator.

use peak_alloc::PeakAlloc;

#[global_allocator]
static METER: PeakAlloc = PeakAlloc;

/// Runs `act`; tells by how many bytes the whole process grew meanwhile, at most.
///
/// Only to be trusted while nothing else runs in the process.
pub fn peak<T>(act: impl FnOnce() -> T) -> (T, usize) {
    METER.reset_peak_usage();
    let before = METER.current_usage();
    let outcome = act();
    (outcome, METER.peak_usage().saturating_sub(before))
}
