//! The connections that the limits of threads allow: each has one.
//!
//! A limit that is not there, or can't be read, limits nothing.

use std::fs;

use rustix::process::{Resource, getrlimit, getuid};

use super::machine_limit::Possible;
use super::table::RESERVE;
use crate::net::control_group::{self, Controller};

/// Threads for everything but connections, and those of connections that begin while others end.
const OWN_THREADS: u64 = 32;
/// Threads of other programs, where a limit is the whole machine's.
const FOREIGN_THREADS: u64 = 256;
/// Mappings of a thread: its stack, and the guard below it.
const MAPPINGS_PER_THREAD: u64 = 2;

/// What each limit of threads allows.
pub fn all() -> Vec<Possible> {
    let of_user = (!getuid().is_root()).then(|| getrlimit(Resource::Nproc).current);
    let of_group = control_group::limits(Controller::Processes);
    let machine = |name: &str| {
        let threads: u64 = fs::read_to_string(name).ok()?.trim().parse().ok()?;
        Some(threads.saturating_sub(FOREIGN_THREADS))
    };
    let maps = machine("/proc/sys/vm/max_map_count").map(|maps| maps / MAPPINGS_PER_THREAD);
    let limits = [
        (
            of_user.flatten(),
            "the user's limit of processes",
            "raise LimitNPROC",
        ),
        (
            of_group.into_iter().min(),
            "the control group's limit of tasks",
            "raise TasksMax",
        ),
        (
            machine("/proc/sys/kernel/threads-max"),
            "the kernel's limit of threads",
            "raise kernel.threads-max with sysctl",
        ),
        (
            machine("/proc/sys/kernel/pid_max"),
            "the kernel's limit of process numbers",
            "raise kernel.pid_max with sysctl",
        ),
        (
            maps,
            "the kernel's limit of mappings",
            "raise vm.max_map_count with sysctl",
        ),
    ];
    let possible = |(threads, limit, cure): (Option<u64>, _, _)| {
        Some(Possible {
            connections: possible_with(threads?),
            limit,
            cure,
        })
    };
    limits.into_iter().filter_map(possible).collect()
}

/// The number of connections that so many threads allow.
fn possible_with(threads: u64) -> usize {
    let for_connections = threads.saturating_sub(OWN_THREADS + RESERVE as u64);
    usize::try_from(for_connections)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_needs_one_thread() {
        assert_eq!(possible_with(7_900), 7_852);
        assert_eq!(possible_with(10), 1);
    }

    #[test]
    fn the_limits_of_the_kernel_are_known() {
        let all = all();
        for word in ["threads-max", "pid_max", "max_map_count"] {
            assert!(all.iter().any(|limit| limit.cure.contains(word)), "{all:?}");
        }
    }
}
