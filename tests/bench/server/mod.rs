//! A server under measurement: a child process, how it is started and stopped, and its figures.

mod connection;
mod peers;
pub mod proc_stats;
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
use proc_stats::{Memory, ThreadTimes};
use target::{SECRET, Target};

/// The hidden flag that makes this program the reference server.
pub const REFERENCE_FLAG: &str = "--be-the-reference";
/// How long a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to check whether it does.
const RECHECK: Duration = Duration::from_millis(5);
/// The text before the address in the line that a server logs when it listens.
const LISTENING: &str = "listening addr=";

/// What starting a server needs.
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
    /// CPU times of its threads at the last [`Server::start_cpu`].
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

    /// Waits until it listens at the address that it logs; nginx logs none, and was given one.
    fn await_address(&mut self) -> Result {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = fs::read_to_string(&self.log)?;
            if let Some(address) = logged_address(&log) {
                self.address = address.parse()?;
            }
            let is_known = self.address.port() != 0;
            if is_known && self.has_its_processes() && TcpStream::connect(self.address).is_ok() {
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
            self.processes.extend(proc_stats::children(self.child.id()));
        }
        self.processes.len() == 1 + workers
    }

    /// Starts measuring CPU time, for [`Server::cpu`].
    ///
    /// # Errors
    /// When the server has ended.
    pub fn start_cpu(&mut self) -> Result {
        self.times = self.each(proc_stats::thread_times)?;
        Ok(())
    }

    /// CPU time since [`Server::start_cpu`] of all threads that still exist.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let after = self.each(proc_stats::thread_times)?;
        let cpu = self.times.iter().zip(&after);
        Ok(cpu
            .map(|(before, after)| proc_stats::cpu_since(before, after))
            .sum())
    }

    /// CPU time since the process started, including threads that have ended, in steps of 10 ms.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn total_cpu(&self) -> Result<Duration> {
        Ok(self.each(proc_stats::process_time)?.iter().sum())
    }

    /// Its memory.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn memory(&self) -> Result<Memory> {
        let each = self.each(proc_stats::memory)?;
        Ok(each.iter().fold(Memory::default(), |sum, memory| Memory {
            resident: sum.resident + memory.resident,
            kernel: sum.kernel + memory.kernel,
        }))
    }

    /// Its threads.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn threads(&self) -> Result<usize> {
        Ok(self.each(proc_stats::threads)?.iter().sum())
    }

    /// Its open descriptors.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(self.each(proc_stats::descriptors)?.iter().sum())
    }

    /// A figure of each of its processes.
    fn each<T>(&self, read: impl Fn(u32) -> Result<T>) -> Result<Vec<T>> {
        self.processes
            .iter()
            .map(|process| read(*process))
            .collect()
    }

    /// The last lines of its log, for error messages.
    pub fn log_tail(&self) -> String {
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

/// The command that starts a server, and its address; port 0 means that the server logs it.
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

/// Bifrost with its default settings: settings in the caller's environment are removed.
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
        // SIGTERM, because nginx's workers would outlive a SIGKILL of their parent.
        if let Some(process) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(process, Signal::TERM); // it may have ended already
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(RECHECK);
        }
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}
