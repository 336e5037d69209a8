//! sd_notify(3): one datagram of `NAME=value` lines for each thing that the manager is told.
//!
//! Written out rather than taken from a crate: the protocol is one `send` to a UNIX socket, and
//! what a crate adds to that (barriers, a store of descriptors) is not used here. A manager
//! that does not listen is logged, and never stops the server.

use std::env;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::log::Throttle;

/// How long a manager that does not read may hold us up.
const PATIENCE: Duration = Duration::from_secs(1);
/// On top of the drain time limit, for the end of the process itself.
const STOP_MARGIN: Duration = Duration::from_secs(5);

static FAILURES: Throttle = Throttle::new();

/// Tells the service manager how the server is; clones share the line. Mute when there is no
/// manager that wants to know.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    line: Option<Arc<Line>>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// Whom `NOTIFY_SOCKET` names, with the watchdog that `WATCHDOG_USEC` asks for.
    pub fn from_environment() -> Notifier {
        let variable = |name| env::var(name).unwrap_or_default();
        let address = variable("NOTIFY_SOCKET");
        let line = match address.as_str() {
            "" => None,
            address => Line::to(address)
                .inspect_err(|error| warn!("notify failed socket={address:?} error=\"{error}\""))
                .ok(),
        };
        Notifier {
            line: line.map(Arc::new),
            watchdog: watchdog(
                &variable("WATCHDOG_USEC"),
                &variable("WATCHDOG_PID"),
                process::id(),
            ),
        }
    }

    /// Whether somebody wants to know.
    pub fn is_heard(&self) -> bool {
        self.line.is_some()
    }

    /// The longest silence of [`Notifier::alive`] that the manager puts up with.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The server listens, or has done what [`Notifier::reloading`] announced.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The configuration is being read again; [`Notifier::ready`] has to follow, however it goes.
    pub fn reloading(&self) {
        // The manager matches the answer to its request by this clock (systemd 253 and later).
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The server drains, which may take as long as `drain`, whatever the unit says.
    pub fn stopping(&self, drain: Duration) {
        let limit = drain.saturating_add(STOP_MARGIN).as_micros();
        self.send(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=Draining"
        ));
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={text}"));
    }

    /// Feeds the watchdog.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, state: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(state.as_bytes(), &line.manager)
            && let Some(suppressed) = FAILURES.pass()
        {
            warn!("notify failed error=\"{error}\" suppressed={suppressed}");
        }
    }
}

impl Line {
    /// Opens a line to a path, or to an abstract name that begins with `@`.
    fn to(address: &str) -> io::Result<Line> {
        let manager = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => {
                let sentence = "NOTIFY_SOCKET is neither a path from / nor an @name";
                return Err(io::Error::new(ErrorKind::InvalidInput, sentence));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Line { socket, manager })
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
        let line = Line::to(&format!("@{name}")).unwrap();
        let notifier = Notifier {
            line: Some(Arc::new(line)),
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
    fn without_a_manager_nothing_happens() {
        let notifier = Notifier::default();
        notifier.ready();
        assert!(!notifier.is_heard());
    }

    #[test]
    fn an_address_is_a_path_or_an_abstract_name() {
        for address in ["", "run/notify", "vsock:2:1234"] {
            assert!(Line::to(address).is_err(), "{address:?}");
        }
        assert!(Line::to("/run/nobody/there").is_ok());
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
            let _ = (Line::to(&text), watchdog(&text, &text, 7));
        }
    }
}
