//! What the tests are written with: a server process, plain HTTP, subscribers and tokens.
//!
//! Nothing here knows the server's code. It starts the real binary and speaks to it over TCP, so
//! that a test sees what an application or a browser would see.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub mod http;
pub mod notify_socket;
pub mod process;
pub mod prometheus_text;
pub mod raw;
pub mod reloadable_server;
pub mod server;
pub mod server_with_metrics;
pub mod subscriber;
pub mod token;

/// How long any single wait may last before the test fails: far more than a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Polls until `condition` returns a value, for at most `DEADLINE`. For states that no event
/// announces.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A local address on which nothing listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Raises the soft limit of open files to the hard limit.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("raise the file limit up to the hard one");
}
