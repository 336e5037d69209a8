//! Figures of a server from `/proc`: CPU time, memory, threads, descriptors.
//!
//! There are two sources of CPU time. The scheduler counts nanoseconds per thread (`schedstat`),
//! which is exact but omits threads that have ended; it is used where the same threads live
//! throughout. The total per process (`stat`) includes ended threads, in steps of 10 ms; it is
//! used where threads start and end, over intervals long enough for that.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::Result;

/// The unit of CPU time in `stat` (USER_HZ, which is 100 on every Linux target of Rust).
const TICK: Duration = Duration::from_millis(10);
/// Size of a thread's kernel stack on 64-bit machines, in bytes.
const KERNEL_STACK: u64 = 16 * 1024;

/// CPU time of each thread, by its number.
pub type ThreadTimes = HashMap<u32, Duration>;

/// Memory of one or more processes, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident memory.
    pub resident: u64,
    /// Memory of the kernel for them: page tables, and a stack per thread.
    pub kernel: u64,
}

/// CPU times of a process's threads.
///
/// # Errors
/// When the process has ended.
pub fn thread_times(process: u32) -> Result<ThreadTimes> {
    let mut times = ThreadTimes::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = entry?.path();
        let thread = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        // A thread that ends between the listing and the reading is not an error.
        let Ok(line) = fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        let nanos = line.split(' ').next().and_then(|nanos| nanos.parse().ok());
        if let (Some(thread), Some(nanos)) = (thread, nanos) {
            times.insert(thread, Duration::from_nanos(nanos));
        }
    }
    Ok(times)
}

/// CPU time of threads since an earlier reading; new threads count in full.
pub fn cpu_since(before: &ThreadTimes, after: &ThreadTimes) -> Duration {
    let cpu = after.iter().map(|(thread, time)| {
        let before = before.get(thread).copied().unwrap_or_default();
        time.saturating_sub(before)
    });
    cpu.sum()
}

/// CPU time of a process, including its ended threads, in steps of 10 ms.
///
/// # Errors
/// When the process has ended.
pub fn process_time(process: u32) -> Result<Duration> {
    let fields = stat(process)?;
    let ticks: u32 = fields[11..13]
        .iter()
        .filter_map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// A process's memory.
///
/// `smaps_rollup` walks the page tables; the counters in `status` lag behind by up to some
/// hundred pages per core.
///
/// # Errors
/// When the process has ended.
pub fn memory(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let exact = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let resident = exact.ok().and_then(|text| kilobytes(&text, "Rss:"));
    let threads = value(&status, "Threads:").unwrap_or(1);
    let page_tables = kilobytes(&status, "VmPTE:").unwrap_or(0);
    Ok(Memory {
        resident: resident
            .or_else(|| kilobytes(&status, "VmRSS:"))
            .ok_or("the kernel does not report the resident memory")?,
        kernel: page_tables + threads * KERNEL_STACK,
    })
}

/// The kernel's own objects, of all processes, in bytes: sockets and their buffers among them.
///
/// Only root may read how much is in use. Other users get what is allocated, which does not show
/// new objects as long as they fit into freed places.
///
/// # Errors
/// When `/proc` is not there.
pub fn slab() -> Result<u64> {
    if let Ok(text) = fs::read_to_string("/proc/slabinfo") {
        return Ok(text.lines().filter_map(in_use).sum());
    }
    let text = fs::read_to_string("/proc/meminfo")?;
    Ok(kilobytes(&text, "Slab:").unwrap_or(0))
}

/// Bytes in use of one kind of object: name, number in use, number in all, size.
fn in_use(line: &str) -> Option<u64> {
    let mut numbers = line.split_whitespace().skip(1);
    let count: u64 = numbers.next()?.parse().ok()?;
    let size: u64 = numbers.nth(1)?.parse().ok()?;
    Some(count * size)
}

/// How many threads a process has.
///
/// # Errors
/// When the process has ended.
pub fn threads(process: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/task"))?.count())
}

/// How many descriptors a process has open.
///
/// # Errors
/// When the process has ended.
pub fn descriptors(process: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// The child processes of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = listing.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes
        .filter(|process| stat(*process).is_ok_and(|fields| fields[1] == parent))
        .collect()
}

/// The fields of `stat` after the name, which may itself contain spaces.
fn stat(process: u32) -> Result<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = line.rsplit_once(") ").ok_or("stat has no name in it")?;
    let fields: Vec<_> = fields.split(' ').map(str::to_owned).collect();
    if fields.len() <= 13 {
        return Err("stat has too few fields".into());
    }
    Ok(fields)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    Some(value(text, name)? * 1024)
}

fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
