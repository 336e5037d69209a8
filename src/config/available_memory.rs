//! The memory that this process may use: the machine's, or less in a control group with a limit.

use std::fs;
use std::path::Path;

use rustix::system::sysinfo;

/// Where version 2 of the control groups is mounted (cgroups(7)).
const CGROUPS: &str = "/sys/fs/cgroup";

/// The memory of the machine, or the lowest limit of this process's control group and its
/// ancestors, in bytes.
pub fn bytes() -> usize {
    let machine = sysinfo();
    let machine = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
    let own_group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let least = own_group
        .lines()
        .filter_map(|line| line.strip_prefix("0::/"))
        .flat_map(|group| Path::new(group).ancestors())
        .filter_map(|group| {
            fs::read_to_string(Path::new(CGROUPS).join(group).join("memory.max")).ok()
        })
        .filter_map(|limit| limit.trim().parse().ok()) // a group without a limit says "max"
        .fold(machine, u64::min);
    usize::try_from(least).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_available() {
        assert!(super::bytes() > 1 << 20);
    }
}
