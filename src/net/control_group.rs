//! The limits of this process's control group (cgroups(7)).

use std::fs;
use std::path::Path;

/// What a control group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Memory, in bytes.
    Memory,
    /// Processes and threads together.
    Processes,
}

/// A version of the control groups.
struct Version {
    /// What the line of `/proc/self/cgroup` has before the group, but for the number of a hierarchy.
    prefix: &'static str,
    /// Where the groups are mounted.
    mount: &'static str,
    /// The file with the limit of a group. Without a limit, it has a word or an enormous number.
    limit: &'static str,
}

impl Controller {
    fn versions(self) -> [Version; 2] {
        let (files, prefix, mount) = match self {
            Controller::Memory => (
                ["memory.max", "memory.limit_in_bytes"],
                ":memory:/",
                "/sys/fs/cgroup/memory",
            ),
            Controller::Processes => (["pids.max", "pids.max"], ":pids:/", "/sys/fs/cgroup/pids"),
        };
        [
            Version {
                prefix: "0::/",
                mount: "/sys/fs/cgroup",
                limit: files[0],
            },
            Version {
                prefix,
                mount,
                limit: files[1],
            },
        ]
    }
}

/// The limits of this process's group and its ancestors.
pub fn limits(controller: Controller) -> Vec<u64> {
    let own_group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let versions = controller.versions();
    let limits = versions
        .iter()
        .flat_map(|version| version.limits(&own_group));
    limits.collect()
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
