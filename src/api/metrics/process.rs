//! Metrics of this process from the kernel, under the names that Prometheus's own client libraries
//! use. What can't be read is left out.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::prometheus::Page;

/// The index of the start time in `/proc/self/stat`, counted after the name (proc_pid_stat(5)).
const START: usize = 19;

/// Writes the metrics.
pub fn write(page: &mut Page) {
    page.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        time(ClockId::ProcessCPUTime),
    );
    if let Some(start) = start() {
        page.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            start,
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (field, unit, name, help) in FIELDS {
        if let Some(value) = field_of(&status, field) {
            page.gauge(name, help, value.saturating_mul(unit));
        }
    }
    // The listing itself holds one of them.
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let open = files.count().saturating_sub(1);
        page.gauge("process_open_fds", "Number of open file descriptors.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let help = "Maximum number of open file descriptors.";
        page.gauge("process_max_fds", help, most);
    }
}

/// Fields of `/proc/self/status`, their units in bytes or 1, and the names and help of the metrics.
const FIELDS: [(&str, u64, &str, &str); 3] = [
    (
        "VmRSS",
        1024,
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
    ),
    (
        "VmSize",
        1024,
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
    ),
    (
        "Threads",
        1,
        "process_threads",
        "Number of OS threads in the process.",
    ),
];

fn field_of(status: &str, field: &str) -> Option<u64> {
    let value = |line: &str| {
        line.strip_prefix(field)?
            .strip_prefix(':')?
            .trim()
            .to_owned()
            .into()
    };
    let value: String = status.lines().find_map(value)?;
    value.split_whitespace().next()?.parse().ok()
}

/// The start of the process since 1970. The kernel counts from the boot, whose time is computed from
/// the clocks: `/proc/stat`, which has it, may be hidden from a service. Computed once, since
/// Prometheus takes another value for a restart.
fn start() -> Option<Duration> {
    static START: OnceLock<Option<Duration>> = OnceLock::new();
    *START.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let tick = 1_000_000_000 / clock_ticks_per_second();
        let since_boot = Duration::from_nanos(start_in(&stat)?.saturating_mul(tick));
        let age = time(ClockId::Boottime).checked_sub(since_boot)?;
        time(ClockId::Realtime).checked_sub(age)
    })
}

/// The start in ticks after the boot.
fn start_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(START)?.parse().ok()
}

/// The time of a clock; zero if it is negative.
fn time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn every_metric_is_written_here() {
        let mut page = Page::default();
        write(&mut page);
        let text = page.into_text();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_max_fds",
        ] {
            let sample = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = sample
                .unwrap_or_else(|| panic!("no {name}: {text}"))
                .parse()
                .unwrap();
            assert!(value > 0.0, "{name} is {value}");
        }
    }

    #[test]
    fn the_start_is_recent() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - start().unwrap().as_secs_f64();
        // A tick is a hundredth of a second, and the clocks are not read at one moment.
        assert!((-0.1..24.0 * 3600.0).contains(&age), "{age}");
    }

    #[test]
    fn a_name_with_a_parenthesis_is_skipped() {
        let numbers: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (x) (1 2) S {}", numbers.join(" "));
        assert_eq!(start_in(&stat), Some(22));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmRSSX:\t1 kB\nVmRSS:\t    20 kB\nThreads:\t3\n";
        assert_eq!(field_of(status, "VmRSS"), Some(20));
        assert_eq!(field_of(status, "Threads"), Some(3));
        assert_eq!(field_of(status, "VmSize"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[VmRS:() 0-9a\n\t]{0,60}") {
            let _ = (field_of(&text, "VmRSS"), start_in(&text));
        }
    }
}
