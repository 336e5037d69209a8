//! Lines on stderr: `time LEVEL event key=value`.
//!
//! A thread of its own writes them, so that a full pipe or a frozen journal never stops
//! a broadcast; what does not fit in the queue is counted and said so. Under systemd the
//! journal knows the time, and gets the level instead.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

/// Lines that may wait for stderr.
const QUEUE: usize = 4096;
/// How long the end of the program waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// A line that peers can cause is written once per this time.
const THROTTLE: Duration = Duration::from_secs(1);

/// Starts logging to stderr; what is less severe than `level` is left out.
///
/// # Errors
/// When the thread that writes can't be started.
pub fn start(level: LevelFilter) -> io::Result<()> {
    let (lines, queue) = bounded(QUEUE);
    let style = if is_journal() {
        Style::Journal
    } else {
        Style::Plain
    };
    thread::Builder::new()
        .name("log".into())
        .spawn(move || write_lines(&queue))?;
    if log::set_boxed_logger(Box::new(Logger {
        lines,
        style,
        dropped: AtomicU64::new(0),
    }))
    .is_ok()
    {
        log::set_max_level(level);
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    Journal,
}

enum Item {
    Line(String),
    /// Answered when everything before it is written.
    Flush(Sender<()>),
}

struct Logger {
    lines: Sender<Item>,
    style: Style,
    dropped: AtomicU64,
}

impl Log for Logger {
    /// Only our own lines: the libraries would log what clients send.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bifrost")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let lost = match dropped {
            0 => String::new(),
            lines => format!(" lines_lost_before={lines}"),
        };
        let text = format!("{}{lost}", record.args());
        if self
            .lines
            .try_send(Item::Line(line(self.style, record.level(), &text)))
            .is_err()
        {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let (done, wait) = bounded(1);
        let deadline = Instant::now() + FLUSH_LIMIT;
        if self
            .lines
            .send_deadline(Item::Flush(done), deadline)
            .is_ok()
        {
            let _ = wait.recv_deadline(deadline); // late: the end of the program does not wait
        }
    }
}

fn line(style: Style, level: Level, text: &str) -> String {
    // One event, one line: whatever a peer wrote must not look like another.
    let text = text.replace(['\n', '\r'], " ");
    match style {
        Style::Plain => {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            format!("{now} {level} {text}\n")
        }
        Style::Journal => format!("<{}>{text}\n", severity(level)),
    }
}

/// The journal's numbers (sd-daemon(3), RFC 5424 §6.2.1).
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn write_lines(queue: &Receiver<Item>) {
    for item in queue {
        match item {
            // Nobody is left to be told when stderr is closed.
            Item::Line(line) => drop(io::stderr().write_all(line.as_bytes())),
            Item::Flush(done) => drop(done.send(())), // its caller may have given up
        }
    }
}

/// Whether stderr goes to the journal, rather than only being inherited from something
/// whose stderr does (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    match rustix::fs::fstat(io::stderr()) {
        Ok(stat) => journal == format!("{}:{}", stat.st_dev, stat.st_ino),
        Err(_) => false,
    }
}

/// Lets a line that peers can cause through once a second, and counts the others.
#[derive(Debug)]
pub struct Throttle(Mutex<Gate>);

/// When the last line went through, and how many have been held back since.
#[derive(Debug)]
struct Gate {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// Open for the first line.
    pub const fn new() -> Throttle {
        Throttle(Mutex::new(Gate {
            last: None,
            suppressed: 0,
        }))
    }

    /// Whether a line may be written now; if so, how many were held back before it.
    pub fn pass(&self) -> Option<u64> {
        let mut gate = self.0.lock();
        let now = Instant::now();
        if gate.last.is_some_and(|last| now < last + THROTTLE) {
            gate.suppressed += 1;
            return None;
        }
        gate.last = Some(now);
        Some(std::mem::take(&mut gate.suppressed))
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let text = line(Style::Journal, Level::Warn, "refused reason=\"a\nb\r\nc\"");
        assert_eq!(text, "<4>refused reason=\"a b  c\"\n");
        let text = line(Style::Plain, Level::Info, "listening addr=127.0.0.1:3000");
        assert!(
            text.ends_with("Z INFO listening addr=127.0.0.1:3000\n"),
            "{text}"
        );
    }

    #[test]
    fn a_throttle_counts_what_it_holds_back() {
        let throttle = Throttle::new();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        throttle.0.lock().last = Some(Instant::now() - 2 * THROTTLE);
        assert_eq!(throttle.pass(), Some(2));
    }
}
