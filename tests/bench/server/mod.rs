//! A server under measurement: a child process, started, read and ended from here.

mod connection;
mod peers;
pub mod readings;
pub mod reference;
pub mod target;

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use readings::{Memory, ThreadTimes};
use target::{SECRET, Target};

/// The hidden flag that turns this program into its own reference server.
pub const REFERENCE_FLAG: &str = "--be-the-reference";
/// How long a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to look whether it does.
const RECHECK: Duration = Duration::from_millis(5);
/// Stands before the address in the line that a server logs when it listens.
const LISTENING: &str = "listening addr=";

/// What is needed to start any of the servers.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The Bifrost binary.
    pub bifrost: PathBuf,
}

/// A running server.
pub struct Server {
    /// Which one.
    pub target: Target,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
    processes: Vec<u32>,
    /// CPU times of its threads at the last [`Server::begin`].
    times: Vec<ThreadTimes>,
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen in time; with its log.
    pub fn start(target: Target, launch: &Launch) -> Result<Server> {
        let name = target.name().replace([' ', ','], "-");
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}.log"));
        let (mut command, address) = command(target, launch)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|error| format!("can't start {name}: {error}"))?;
        let mut server = Server {
            target,
            address,
            child,
            log,
            processes: Vec::new(),
            times: Vec::new(),
        };
        server.await_address()?;
        Ok(server)
    }

    /// Waits until it has told where it listens; nginx, which does not tell, was told.
    fn await_address(&mut self) -> Result {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = fs::read_to_string(&self.log)?;
            if let Some(address) = logged_address(&log) {
                self.address = address.parse()?;
            }
            let is_told = self.address.port() != 0;
            if is_told && self.has_its_processes() && TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("{} does not listen:\n{log}", self.target.name()).into());
            }
            std::thread::sleep(RECHECK);
        }
    }

    fn has_its_processes(&mut self) -> bool {
        let workers = match self.target {
            Target::Nchan { workers } => usize::from(workers),
            _ => 0,
        };
        self.processes = vec![self.child.id()];
        if workers > 0 {
            self.processes.extend(readings::children(self.child.id()));
        }
        self.processes.len() == 1 + workers
    }

    /// Starts counting the CPU time that [`Server::used`] tells.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn begin(&mut self) -> Result {
        self.times = self.each(readings::thread_times)?;
        Ok(())
    }

    /// CPU time since [`Server::begin`] of all threads that are still there.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn used(&self) -> Result<Duration> {
        let after = self.each(readings::thread_times)?;
        let used = self.times.iter().zip(&after);
        Ok(used
            .map(|(before, after)| readings::used_since(before, after))
            .sum())
    }

    /// CPU time since the start, with threads that have ended, in steps of 10 ms.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn total_time(&self) -> Result<Duration> {
        Ok(self.each(readings::process_time)?.iter().sum())
    }

    /// Its memory.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn memory(&self) -> Result<Memory> {
        let each = self.each(readings::memory)?;
        Ok(each.iter().fold(Memory::default(), |sum, memory| Memory {
            resident: sum.resident + memory.resident,
            kernel: sum.kernel + memory.kernel,
        }))
    }

    /// Its threads.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn threads(&self) -> Result<usize> {
        Ok(self.each(readings::threads)?.iter().sum())
    }

    /// Its open descriptors.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(self.each(readings::descriptors)?.iter().sum())
    }

    /// A reading of each of its processes.
    fn each<T>(&self, reading: impl Fn(u32) -> Result<T>) -> Result<Vec<T>> {
        self.processes
            .iter()
            .map(|process| reading(*process))
            .collect()
    }

    /// The last lines of its log, for a failure's message.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// The address in the line that a server logs when it listens, once the line is whole.
fn logged_address(log: &str) -> Option<&str> {
    let (_, after) = log.split_once(LISTENING)?;
    Some(after.split_once('\n')?.0.trim())
}

/// What starts a server, and its address, where it has to be told: port 0 means it will tell.
fn command(target: Target, launch: &Launch) -> Result<(Command, SocketAddr)> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match target {
        Target::Bifrost => Ok((bifrost(launch), any)),
        Target::Reference => {
            let mut command = Command::new(env::current_exe()?);
            command.arg(REFERENCE_FLAG);
            Ok((command, any))
        }
        Target::Nchan { workers } => peers::nchan(workers),
        Target::NodeWs => Ok((peers::node_ws(), any)),
    }
}

/// Bifrost with its default settings, whatever the caller's environment says.
fn bifrost(launch: &Launch) -> Command {
    let inherited = env::vars_os().map(|(name, _)| name);
    let settings = inherited.filter(|name| name.to_string_lossy().starts_with("BIFROST"));
    let mut command = Command::new(&launch.bifrost);
    for setting in settings.chain(["JWT_ALGORITHM".into(), "JWT_SECRET_FILE".into()]) {
        command.env_remove(setting);
    }
    command
        .env("JWT_SECRET", SECRET)
        .env("HOST", "127.0.0.1")
        .env("PORT", "0");
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not killed: nginx would leave its workers behind.
        if let Some(process) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(process, Signal::TERM); // it may have ended by itself
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(RECHECK);
        }
        let _ = self.child.kill(); // nor is it an error if it had to be
        let _ = self.child.wait();
    }
}
