//! The memory that this process may use: the machine's, or less in a control group with a limit.

use std::fs;
use std::path::Path;

use rustix::system::sysinfo;

/// A version of the control groups (cgroups(7)).
struct Version {
    /// What the line of `/proc/self/cgroup` has before the group, but for the number of a hierarchy.
    prefix: &'static str,
    /// Where the groups are mounted.
    mount: &'static str,
    /// The file with the limit of a group. Without a limit, it has a word or an enormous number.
    limit: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        prefix: "0::/",
        mount: "/sys/fs/cgroup",
        limit: "memory.max",
    },
    Version {
        prefix: ":memory:/",
        mount: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
    },
];

/// The memory of the machine, or the lowest limit of this process's control group and its
/// ancestors, in bytes.
pub fn bytes() -> usize {
    let machine = sysinfo();
    let machine = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
    let own_group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = VERSIONS
        .iter()
        .flat_map(|version| version.limits(&own_group));
    let least = limits.fold(machine, u64::min);
    usize::try_from(least).unwrap_or(usize::MAX)
}

impl Version {
    /// The limits of a process's group and its ancestors, by its `/proc/self/cgroup`. In a
    /// container, the ancestors end at the container's own group, whatever the group is called.
    fn limits(&self, own_group: &str) -> Vec<u64> {
        let lines = own_group.lines();
        lines
            .filter_map(|line| line.split_once(self.prefix))
            .filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|(_, group)| group)
            .flat_map(|group| Path::new(group).ancestors())
            .filter_map(|group| {
                fs::read_to_string(Path::new(self.mount).join(group).join(self.limit)).ok()
            })
            .filter_map(|limit| limit.trim().parse().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_available() {
        assert!(super::bytes() > 1 << 20);
    }
}
