//! Starts the binary with a chosen environment, flags and `.env`, and captures what it prints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::DEADLINE;
use super::token::SECRET;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_bifrost");

/// How a process is started. It inherits only `PATH` of the test's environment.
pub struct Launch {
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Directory,
    /// Programs that change something about the process and then exec the next one.
    wrapper: Vec<OsString>,
    binary: PathBuf,
    /// A shell script that runs instead of the binary, which it finds as `$BIFROST`.
    script: Option<String>,
    input: Input,
    handed_over: Option<OwnedFd>,
}

/// The process's stdin.
enum Input {
    Nothing,
    /// These bytes, and then the end.
    Bytes(Vec<u8>),
    /// The test writes to `Process::stdin`, and drops it to end the stream.
    Open,
}

impl Launch {
    /// A server on a free loopback port, with a secret.
    pub fn serve() -> Self {
        Self::bare()
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("JWT_SECRET", SECRET)
    }

    /// No settings at all.
    pub fn bare() -> Self {
        let mut environment = BTreeMap::new();
        // LLVM_PROFILE_FILE: coverage runs measure the server too.
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                environment.insert(name.into(), value);
            }
        }
        Self {
            arguments: Vec::new(),
            environment,
            directory: Directory::fresh(),
            wrapper: Vec::new(),
            binary: BINARY.into(),
            script: None,
            input: Input::Nothing,
            handed_over: None,
        }
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(&OsString::from(name));
        self
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Writes a file into the directory that the process runs in.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.directory.path.join(name), content).expect("write into the fresh directory");
        self
    }

    pub fn dotenv(self, content: &str) -> Self {
        self.file(".env", content)
    }

    /// Starts it through a program that execs it, such as `ip netns exec NAME`.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper.extend(wrapper.iter().map(OsString::from));
        self
    }

    /// Runs a shell script, in which the binary is `$BIFROST`.
    pub fn script(mut self, script: &str) -> Self {
        self.script = Some(script.into());
        self.env("BIFROST", env!("CARGO_BIN_EXE_bifrost"))
    }

    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = Input::Bytes(bytes.as_ref().into());
        self
    }

    /// Keeps stdin open for the test to write to.
    pub fn open_input(mut self) -> Self {
        self.input = Input::Open;
        self
    }

    /// Passes a socket as systemd does: as descriptor 3, with the process id in `LISTEN_PID`.
    pub fn hand_over(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.handed_over = Some(socket.into());
        let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        self.env("LISTEN_FDS", "1")
            .under(&["/bin/sh", "-c", script])
    }

    /// Starts another binary instead.
    #[allow(dead_code, reason = "for the torture tests")]
    pub fn instead(self, binary: &Path) -> Self {
        Self {
            binary: binary.into(),
            ..self
        }
    }

    /// Sets the soft and hard limit of open files.
    pub fn descriptors(self, limit: u32) -> Self {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        self.under(&["/bin/sh", "-c", &script])
    }

    pub fn directory(&self) -> &Path {
        &self.directory.path
    }

    pub fn spawn(self) -> Process {
        let mut words = self.wrapper.iter().map(OsString::as_os_str);
        let binary = self.binary.as_os_str();
        let mut command = match &self.script {
            Some(script) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(script).arg(binary);
                shell
            }
            None => {
                let mut command = Command::new(words.next().unwrap_or(binary));
                command.args(words);
                if !self.wrapper.is_empty() {
                    command.arg(binary);
                }
                command
            }
        };
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory.path)
            .stdin(match (self.handed_over, &self.input) {
                (Some(socket), _) => Stdio::from(socket),
                (None, Input::Nothing) => Stdio::null(),
                (None, Input::Bytes(_) | Input::Open) => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the binary");
        let pidfd =
            pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("watch the child");
        let mut stdin = child.stdin.take();
        if let Input::Bytes(bytes) = self.input {
            let mut stdin = stdin.take().expect("stdin is piped");
            // The process may end before it has read everything.
            thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        Process {
            child,
            stdin,
            pidfd,
            stdout,
            stderr,
            _directory: self.directory,
        }
    }

    /// Runs a command to its end; returns its exit status and output.
    pub fn run(self) -> Outcome {
        let mut process = self.spawn();
        let status = process.wait();
        let (stdout, stderr) = (process.stdout.all(), process.stderr.all());
        Outcome {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

/// The exit status and output of a command.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Asserts a refused start: the exit status, and that stderr contains each of `words`.
    pub fn expect_refusal(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "stderr does not say {word:?}: {self:?}"
            );
        }
    }
}

impl Outcome {
    /// Asserts success, and returns the one line of stdout.
    #[track_caller]
    pub fn expect_line(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        let line = self.stdout.strip_suffix('\n');
        let line = line.unwrap_or_else(|| panic!("no line: {self:?}"));
        assert!(!line.contains('\n'), "more than one line: {self:?}");
        line
    }
}

/// A running process. Dropping it kills it, and prints its stderr if the test failed.
pub struct Process {
    child: Child,
    /// The pipe to its stdin after `open_input`.
    pub stdin: Option<ChildStdin>,
    /// Readable once the process has ended.
    pidfd: OwnedFd,
    pub stdout: Lines,
    pub stderr: Lines,
    _directory: Directory,
}

impl Process {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the child");
    }

    /// The process id.
    #[allow(dead_code, reason = "for the torture tests")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look after the child")
    }

    /// Waits for it to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut descriptors = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: DEADLINE.as_secs() as i64,
            tv_nsec: 0,
        };
        let ended = poll(&mut descriptors, Some(&timeout)).expect("poll the child");
        assert_eq!(ended, 1, "the process is still running after {DEADLINE:?}");
        self.child.wait().expect("reap the child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stderr of the server\n{}---", self.stderr.all());
        }
    }
}

/// The lines of a stream, collected by a thread.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
                let (collected, changed) = &*writer.0;
                let mut collected = collected.lock();
                match read {
                    0 => collected.ended = true,
                    _ => collected
                        .lines
                        .push(String::from_utf8_lossy(&line).trim_end().to_owned()),
                }
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        lines
    }

    /// Waits for a line that `pick` accepts.
    pub fn wait_for<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let (collected, changed) = &*self.0;
        let deadline = Instant::now() + DEADLINE;
        let mut collected = collected.lock();
        let mut seen = 0;
        loop {
            if let Some(found) = collected.lines[seen..].iter().find_map(|line| pick(line)) {
                return found;
            }
            seen = collected.lines.len();
            let is_over =
                collected.ended || changed.wait_until(&mut collected, deadline).timed_out();
            assert!(
                !is_over || collected.lines.len() > seen,
                "no line with {what}: {:#?}",
                collected.lines
            );
        }
    }

    /// The whole stream; what has arrived by the deadline if it does not end.
    pub fn all(&self) -> String {
        let (collected, changed) = &*self.0;
        let deadline = Instant::now() + DEADLINE;
        let mut collected = collected.lock();
        while !collected.ended && !changed.wait_until(&mut collected, deadline).timed_out() {}
        collected
            .lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    pub fn so_far(&self) -> Vec<String> {
        self.0.0.lock().lines.clone()
    }
}

/// A directory that is removed with the process that runs in it.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bifrost-it-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("create a directory for the test");
        Self { path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // at worst it stays in the temporary directory
    }
}
