//! The limit of connections, from the settings and from the limit of open files.

use log::warn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::table::RESERVE;

/// Descriptors for everything but connections: standard streams, listeners, spares.
const OWN_FILES: u64 = 64;
/// Descriptors of a subscriber: its socket and its waker.
const FILES_PER_CONNECTION: u64 = 2;

/// Raises the limit of open files as far as allowed, and returns the number of connections that
/// it allows, or the configured one if that is less.
pub fn limit(configured: Option<usize>) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let possible = possible_with(files.unwrap_or(u64::MAX));
    match configured {
        Some(configured) if configured > possible => {
            warn!(
                "BIFROST_MAX_CONNECTIONS is over what the file limit allows, and is lowered \
                 configured={configured} possible={possible} cure=\"raise LimitNOFILE\""
            );
            possible
        }
        Some(configured) => configured,
        None => possible,
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
