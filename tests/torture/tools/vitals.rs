//! What the kernel says about the server: threads, descriptors, memory, processor time.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::process::Process;

/// `/proc` counts processor time in hundredths of a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// One look at a process.
#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    pub threads: usize,
    pub descriptors: usize,
    /// Resident memory, in KiB.
    pub memory: usize,
    /// The most that it ever was, in KiB.
    pub peak: usize,
    /// What all its threads have used since the start.
    pub processor: Duration,
}

impl Vitals {
    pub fn of(process: &Process) -> Vitals {
        let pid = process.pid();
        let status = read(&format!("/proc/{pid}/status"));
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("no {key} in {status}"))
        };
        Vitals {
            threads: number("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("the server's descriptors")
                .count(),
            memory: number("VmRSS:"),
            peak: number("VmHWM:"),
            processor: processor(pid),
        }
    }
}

/// User and system time: the 14th and 15th word, counted behind the name, which may hold spaces.
fn processor(pid: u32) -> Duration {
    let stat = read(&format!("/proc/{pid}/stat"));
    let (_, behind_name) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u32 = behind_name
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

/// The share of one processor that it uses while it is watched for a while.
pub fn share_of_processor(process: &Process) -> f64 {
    let (started, before) = (Instant::now(), Vitals::of(process).processor);
    thread::sleep(Duration::from_secs(2));
    let used = Vitals::of(process).processor - before;
    used.as_secs_f64() / started.elapsed().as_secs_f64()
}

/// Asserts that it is idle: a loop that never sleeps would take all of a processor.
#[track_caller]
pub fn expect_idle(process: &Process) {
    let share = share_of_processor(process);
    assert!(share < 0.15, "it takes {share:.2} of a processor");
}

/// Waits until it has so many threads and descriptors again, or fewer.
pub fn wait_shrunk(process: &Process, before: Vitals) {
    // A free thread waits for ten seconds for the next connection; those who ask what the
    // server counts are served by one of them.
    let spare = 4;
    eventually("threads and descriptors are given back", || {
        let now = Vitals::of(process);
        let is_shrunk =
            now.threads <= before.threads + spare && now.descriptors <= before.descriptors + spare;
        if !is_shrunk {
            thread::sleep(Duration::from_millis(100));
        }
        is_shrunk.then_some(())
    });
}

/// Waits until each of its threads sleeps, which is when it has done all that it was asked.
pub fn wait_asleep(process: &Process) {
    let tasks = format!("/proc/{}/task", process.pid());
    let is_asleep = |task: fs::DirEntry| {
        // A thread may have ended since it was listed.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let (_, behind_name) = stat.rsplit_once(')').unwrap_or_default();
        !behind_name.starts_with(" R")
    };
    eventually("all of its threads sleep", || {
        let mut tasks = fs::read_dir(&tasks).expect("the server's threads");
        tasks.all(|task| task.is_ok_and(is_asleep)).then_some(())
    });
}
