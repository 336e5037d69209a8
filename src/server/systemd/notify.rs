//! sd_notify(3): one datagram of `NAME=value` lines for each report to the service manager.
//!
//! Our own, since the protocol is one `send` to a UNIX socket, and what a crate adds to that
//! (barriers, a store of descriptors) is not used. A service manager that does not take a report is
//! logged, and never stops the server.

use std::env;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::throttle::Throttle;

/// How long a report may wait for a service manager that does not read.
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// Added to the drain time limit, for the end of the process itself.
const STOP_MARGIN: Duration = Duration::from_secs(5);

static FAILURES: Throttle = Throttle::new();

/// Reports to the service manager; clones share the socket. It does nothing without a service
/// manager that asked for reports.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    manager: Option<Arc<Manager>>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Reports to the socket in `NOTIFY_SOCKET`, with the watchdog of `WATCHDOG_USEC`.
    pub fn from_environment() -> Notifier {
        let variable = |name| env::var(name).unwrap_or_default();
        let address = variable("NOTIFY_SOCKET");
        let manager = match address.as_str() {
            "" => None,
            address => Manager::at(address)
                .inspect_err(|error| warn!("notify failed socket={address:?} error=\"{error}\""))
                .ok(),
        };
        Notifier {
            manager: manager.map(Arc::new),
            watchdog: watchdog(
                &variable("WATCHDOG_USEC"),
                &variable("WATCHDOG_PID"),
                process::id(),
            ),
        }
    }

    /// Whether a service manager asked for reports.
    pub fn is_wanted(&self) -> bool {
        self.manager.is_some()
    }

    /// The watchdog's time limit: the longest time between two calls of [`Notifier::alive`].
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The server listens, or a reload has ended, in whichever way.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A reload begins; [`Notifier::ready`] has to follow, however it ends.
    pub fn reloading(&self) {
        // The service manager matches the report to its request by this clock (systemd 253 and later).
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The server drains, which may take as long as `drain`, whatever the unit's limit is.
    pub fn stopping(&self, drain: Duration) {
        let limit = drain.saturating_add(STOP_MARGIN).as_micros();
        self.send(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=Draining"
        ));
    }

    /// A line that `systemctl status` shows.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={text}"));
    }

    /// The server is alive, for the watchdog.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, state: &str) {
        let Some(manager) = &self.manager else {
            return;
        };
        if let Err(error) = manager
            .socket
            .send_to_addr(state.as_bytes(), &manager.address)
            && let Some(suppressed) = FAILURES.pass()
        {
            warn!("notify failed error=\"{error}\" suppressed={suppressed}");
        }
    }
}

impl Manager {
    /// A service manager at a path, or at an abstract name that begins with `@`.
    fn at(address: &str) -> io::Result<Manager> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => {
                let sentence = "NOTIFY_SOCKET is neither a path from / nor an @name";
                return Err(io::Error::new(ErrorKind::InvalidInput, sentence));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        Ok(Manager { socket, address })
    }
}

/// The watchdog's limit in microseconds, if it is for the process `own_pid` (sd_watchdog_enabled(3)).
fn watchdog(micros: &str, pid: &str, own_pid: u32) -> Option<Duration> {
    if !pid.is_empty() && pid.parse() != Ok(own_pid) {
        return None;
    }
    let micros = micros.parse().ok().filter(|&micros| micros > 0);
    micros.map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str) -> (Notifier, UnixDatagram) {
        let name = format!("bifrost-notify-{}-{name}", process::id());
        let manager =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let ours = Manager::at(&format!("@{name}")).unwrap();
        let notifier = Notifier {
            manager: Some(Arc::new(ours)),
            watchdog: None,
        };
        (notifier, manager)
    }

    fn next(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn every_state_is_one_datagram() {
        let (notifier, manager) = pair("states");
        notifier.ready();
        assert_eq!(next(&manager), "READY=1");
        notifier.status("Up");
        assert_eq!(next(&manager), "STATUS=Up");
        notifier.alive();
        assert_eq!(next(&manager), "WATCHDOG=1");
        notifier.stopping(Duration::from_secs(10));
        assert_eq!(
            next(&manager),
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=Draining"
        );
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let (notifier, manager) = pair("reload");
        let micros = || {
            let now = clock_gettime(ClockId::Monotonic);
            now.tv_sec * 1_000_000 + now.tv_nsec / 1000
        };
        let before = micros();
        notifier.reloading();
        let text = next(&manager);
        let began: i64 = text
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|micros| micros.parse().ok())
            .unwrap_or_else(|| panic!("{text}"));
        assert!((before..=micros()).contains(&began), "{text}");
    }

    #[test]
    fn without_a_service_manager_nothing_is_sent() {
        let notifier = Notifier::default();
        notifier.ready();
        assert!(!notifier.is_wanted());
    }

    #[test]
    fn an_address_is_a_path_or_an_abstract_name() {
        for address in ["", "run/notify", "vsock:2:1234"] {
            assert!(Manager::at(address).is_err(), "{address:?}");
        }
        assert!(Manager::at("/run/nobody/there").is_ok());
    }

    #[test]
    fn a_watchdog_is_for_one_process() {
        let limit = Some(Duration::from_secs(3));
        assert_eq!(watchdog("3000000", "", 7), limit);
        assert_eq!(watchdog("3000000", "7", 7), limit);
        assert_eq!(watchdog("3000000", "8", 7), None);
        for micros in ["", "0", "-1", "3s"] {
            assert_eq!(watchdog(micros, "", 7), None, "{micros:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,120}") {
            let _ = (Manager::at(&text), watchdog(&text, &text, 7));
        }
    }
}
