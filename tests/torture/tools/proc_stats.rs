//! Figures of the server from `/proc`: threads, descriptors, memory, CPU time.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::process::Process;

/// The unit of CPU time in `/proc/<pid>/stat`: USER_HZ is 100 on every Linux architecture that
/// the server supports.
const TICK: Duration = Duration::from_millis(10);

/// The figures of a process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ProcStats {
    pub threads: usize,
    pub descriptors: usize,
    /// Resident memory, in KiB.
    pub memory: usize,
    /// Peak resident memory, in KiB.
    pub peak: usize,
    /// CPU time of all threads since the start.
    pub cpu: Duration,
}

impl ProcStats {
    pub fn of(process: &Process) -> ProcStats {
        let pid = process.pid();
        let status = read(&format!("/proc/{pid}/status"));
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("no {key} in {status}"))
        };
        ProcStats {
            threads: number("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("the server's descriptors")
                .count(),
            memory: number("VmRSS:"),
            peak: number("VmHWM:"),
            cpu: cpu_time(pid),
        }
    }
}

/// User and system time: fields 14 and 15 of `stat`, counted from the end of the name, which may
/// contain spaces.
fn cpu_time(pid: u32) -> Duration {
    let stat = read(&format!("/proc/{pid}/stat"));
    let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u32 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u32>().expect("a number of ticks"))
        .sum();
    ticks * TICK
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The share of one CPU that the process uses over two seconds.
fn cpu_share(process: &Process) -> f64 {
    let (started, before) = (Instant::now(), ProcStats::of(process).cpu);
    thread::sleep(Duration::from_secs(2));
    let used = ProcStats::of(process).cpu - before;
    used.as_secs_f64() / started.elapsed().as_secs_f64()
}

/// Asserts that the process is idle: a loop that never sleeps would use a whole CPU.
#[track_caller]
pub fn expect_idle(process: &Process) {
    let share = cpu_share(process);
    assert!(share < 0.15, "the server uses {share:.2} of a CPU");
}

/// Waits until the process has at most as many threads and descriptors as `before`.
pub fn wait_shrunk(process: &Process, before: ProcStats) {
    // An idle worker thread lives for ten seconds, and the tests' own requests use a few.
    let spare = 4;
    eventually("threads and descriptors are released", || {
        let now = ProcStats::of(process);
        let is_shrunk =
            now.threads <= before.threads + spare && now.descriptors <= before.descriptors + spare;
        if !is_shrunk {
            thread::sleep(Duration::from_millis(100));
        }
        is_shrunk.then_some(())
    });
}

/// Whether each thread of the process sleeps: then it has done all that it was asked.
pub fn is_asleep(process: &Process) -> bool {
    let sleeps = |task: fs::DirEntry| {
        // A thread may have ended since it was listed.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
        !after_name.starts_with(" R")
    };
    let mut tasks =
        fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the server's threads");
    tasks.all(|task| task.is_ok_and(sleeps))
}

/// Waits until each thread of the process sleeps.
pub fn wait_asleep(process: &Process) {
    eventually("all threads sleep", || is_asleep(process).then_some(()));
}
