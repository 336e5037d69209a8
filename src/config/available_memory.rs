//! The memory that this process may use: the machine's, or less in a control group with a limit.

use rustix::system::sysinfo;

use crate::net::control_group::{self, Controller};

/// The memory of the machine, or the lowest limit of this process's control group and its
/// ancestors, in bytes.
pub fn bytes() -> usize {
    let machine = sysinfo();
    let machine = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
    let limits = control_group::limits(Controller::Memory).into_iter();
    usize::try_from(limits.fold(machine, u64::min)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_available() {
        assert!(super::bytes() > 1 << 20);
    }
}
