//! How many connections there may be, by the settings and by what the kernel allows.

use log::warn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Connections;

/// What the file limit allows, after raising it as far as we may; or less, if so configured.
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
    let possible = Connections::possible_with(files.unwrap_or(u64::MAX));
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
