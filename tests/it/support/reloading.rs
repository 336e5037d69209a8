//! A server whose settings lie in files that the test writes anew.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use rustix::process::Signal;

use super::process::Launch;
use super::server::Server;

/// A running server, its directory, and how often it was told to read its settings again.
pub struct Reloading {
    server: Server,
    directory: PathBuf,
    reloads: usize,
}

impl Reloading {
    pub fn start(launch: Launch) -> Self {
        let directory = launch.directory().to_owned();
        Self {
            server: launch.start(),
            directory,
            reloads: 0,
        }
    }

    /// Writes a file beside the server, whole at once; it is read with the next reload.
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

    /// Sends SIGHUP, waits until it is done, and gives the line that tells what came of it.
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

    /// Writes `.env` and has it read.
    pub fn reload_with(&mut self, dotenv: &str) -> String {
        self.write(".env", dotenv);
        self.reload()
    }
}

impl Deref for Reloading {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Reloading {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
