//! Lines on stderr: `time LEVEL event key=value`.
//!
//! A thread of its own writes them, so that a full pipe or a suspended journal never stops a
//! broadcast. Lines that do not fit in the queue are counted, and the next line says how many.
//! The systemd journal knows the time itself, and gets the level as a number instead.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Lines that may wait for stderr.
const QUEUE: usize = 4096;
/// The end of the program waits so long for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Starts logging to stderr; lines less severe than `level` are left out.
///
/// # Errors
/// When the writing thread can't be started.
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
    /// Answered when all lines before it are written.
    Flush(Sender<()>),
}

struct Logger {
    lines: Sender<Item>,
    style: Style,
    dropped: AtomicU64,
}

impl Log for Logger {
    /// Only this program's own lines: libraries would log what clients send.
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
            let _ = wait.recv_deadline(deadline); // too late: the program ends without it
        }
    }
}

fn line(style: Style, level: Level, text: &str) -> String {
    // One event, one line: text of a peer must not look like a second event.
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
            // A closed stderr can't be reported anywhere.
            Item::Line(line) => drop(io::stderr().write_all(line.as_bytes())),
            Item::Flush(done) => drop(done.send(())), // the caller may have given up
        }
    }
}

/// Whether this process's own stderr is the journal (systemd.exec(5)): `$JOURNAL_STREAM` alone may
/// be inherited from a parent whose stderr is.
fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    match rustix::fs::fstat(io::stderr()) {
        Ok(stat) => journal == format!("{}:{}", stat.st_dev, stat.st_ino),
        Err(_) => false,
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
}
