//! `bifrost unit`: the unit files that the binary carries.

use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::action::Unit;
use crate::server::systemd::{SERVICE_UNIT, SOCKET_UNIT};

/// Prints one unit file, or both, each under its name.
///
/// # Errors
/// When it can't be written.
pub fn run(unit: Unit) -> Result<Status, CommandError> {
    let printed = match unit {
        Unit::Service => output::print(SERVICE_UNIT),
        Unit::Socket => output::print(SOCKET_UNIT),
        Unit::Both => output::print(&format!(
            "# bifrost.service\n{SERVICE_UNIT}\n# bifrost.socket\n{SOCKET_UNIT}"
        )),
    };
    printed.map(|_| Status::Good)
}
