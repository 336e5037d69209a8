//! The vocabulary of the journeys: a server process, plain HTTP, subscribers and tokens.
//!
//! Nothing here knows the server's code. It starts the real binary and speaks to it over TCP, so
//! that what the tests say is what an application or a browser would see.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub mod exposition;
pub mod http;
pub mod manager;
pub mod process;
pub mod raw;
pub mod reloading;
pub mod server;
pub mod subscriber;
pub mod token;
pub mod watched;

/// How long any single wait may last before the test fails: far more than a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again until `condition` yields a value. For states that announce themselves to nobody.
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

/// A port of this machine on which nobody listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Lets this process open as many files as it may.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("raise the file limit up to the hard one");
}
