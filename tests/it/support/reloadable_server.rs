//! A server whose settings are in files that the test rewrites.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use rustix::process::Signal;

use super::process::Launch;
use super::server::Server;

/// A running server, its directory, and the number of its reloads.
pub struct ReloadableServer {
    server: Server,
    directory: PathBuf,
    reloads: usize,
}

impl ReloadableServer {
    pub fn start(launch: Launch) -> Self {
        let directory = launch.directory().to_owned();
        Self {
            server: launch.start(),
            directory,
            reloads: 0,
        }
    }

    /// Replaces a file in the server's directory atomically; the next reload reads it.
    pub fn write(&self, name: &str, content: &str) -> &Self {
        let fresh = self.directory.join("fresh");
        fs::write(&fresh, content).expect("write beside the server");
        fs::rename(fresh, self.directory.join(name)).expect("put it in place");
        self
    }

    pub fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.directory.join(name)).expect("it was there");
        self
    }

    /// Sends SIGHUP, waits for the reload to end, and returns the log line of its result.
    pub fn reload(&mut self) -> String {
        self.server.signal(Signal::HUP);
        self.reloads += 1;
        let mut left = self.reloads;
        self.server.stderr.wait_for("the end of a reload", |line| {
            let at = line.find(" reloaded").or(line.find(" reload failed"))?;
            left -= 1;
            (left == 0).then(|| line[at + 1..].to_owned())
        })
    }

    /// Writes `.env` and reloads.
    pub fn reload_with(&mut self, dotenv: &str) -> String {
        self.write(".env", dotenv);
        self.reload()
    }
}

impl Deref for ReloadableServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for ReloadableServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
