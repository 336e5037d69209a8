//! How much memory there is: the machine's, or less if a control group says so.

use std::fs;
use std::path::Path;

use rustix::system::sysinfo;

/// Where version 2 of the control groups is found (cgroups(7)).
const CGROUPS: &str = "/sys/fs/cgroup";

/// What this process may use, in bytes.
pub fn available() -> usize {
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
        .filter_map(|limit| limit.trim().parse().ok()) // it may say max
        .fold(machine, u64::min);
    usize::try_from(least).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some() {
        assert!(super::available() > 1 << 20);
    }
}
