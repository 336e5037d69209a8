//! How many connections there can be on this machine: the least of what its limits allow.

use log::warn;

use super::machine_limit::Possible;
use super::{file_limit, thread_limit};

/// Raises the limit of open files as far as allowed, and returns the number of connections that the
/// machine allows.
pub fn possible() -> Possible {
    let limits = thread_limit::all().into_iter();
    limits.fold(file_limit::raise(), |least, other| {
        if other.connections < least.connections {
            other
        } else {
            least
        }
    })
}

/// The number of connections that the machine allows, or the configured one if that is less.
pub fn limit(configured: Option<usize>) -> usize {
    let Possible {
        connections: possible,
        limit,
        cure,
    } = possible();
    match configured {
        Some(configured) if configured > possible => {
            warn!(
                "BIFROST_MAX_CONNECTIONS is over what {limit} allows, and is lowered \
                 configured={configured} possible={possible} cure=\"{cure}\""
            );
            possible
        }
        Some(configured) => configured,
        None => possible,
    }
}
