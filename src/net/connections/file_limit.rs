//! The connections that the limit of open files allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::machine_limit::Possible;
use super::table::RESERVE;

/// Descriptors for everything but connections: standard streams, listeners, spares.
const OWN_FILES: u64 = 64;
/// Descriptors of a subscriber: its socket and its waker.
const FILES_PER_CONNECTION: u64 = 2;

/// Raises the limit of open files as far as allowed, and returns how many connections it allows.
pub fn raise() -> Possible {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    Possible {
        connections: possible_with(files.unwrap_or(u64::MAX)),
        limit: "the file limit",
        cure: "raise LimitNOFILE",
    }
}

/// The number of connections that so many descriptors allow.
fn possible_with(files: u64) -> usize {
    let for_connections = files.saturating_sub(OWN_FILES + RESERVE as u64);
    usize::try_from(for_connections / FILES_PER_CONNECTION)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_needs_two_descriptors() {
        assert_eq!(possible_with(20_000), 9_960);
        assert_eq!(possible_with(10), 1);
    }
}
