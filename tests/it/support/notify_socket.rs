//! The service manager's end of `NOTIFY_SOCKET`.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::process::Launch;

/// Receives the notifications of one process.
pub struct NotifySocket {
    socket: UnixDatagram,
}

impl NotifySocket {
    /// Listens on a path in the process's own directory.
    pub fn on_path(launch: Launch) -> (Self, Launch) {
        let path = launch.directory().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind a path");
        (Self { socket }, launch.env("NOTIFY_SOCKET", path))
    }

    /// Listens on an abstract name, without a file.
    pub fn on_abstract_name(launch: Launch) -> (Self, Launch) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bifrost-it-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bind an abstract name");
        (
            Self { socket },
            launch.env("NOTIFY_SOCKET", format!("@{name}")),
        )
    }

    /// Waits for this line, skipping others.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        self.wait_for(wanted, |line| (line == wanted).then_some(()));
    }

    /// Waits for a line that `pick` accepts.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut received = Vec::new();
        while let Some(message) = self.next(deadline) {
            if let Some(found) = message.lines().find_map(&mut pick) {
                return found;
            }
            received.push(message);
        }
        panic!("no {what}; received {received:#?}");
    }

    /// The notifications that have arrived and not been read.
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next(Instant::now())).collect()
    }

    fn next(&self, deadline: Instant) -> Option<String> {
        let mut buffer = [0; 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("set a read timeout");
            match self.socket.recv(&mut buffer) {
                Ok(length) => return Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("can't receive: {error}"),
            }
        }
    }
}
