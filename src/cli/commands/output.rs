//! Stdout, whose reader may be gone, and stderr, where notes go.

use std::io::{self, ErrorKind, Write};

use super::outcome::Failure;

/// Whether there is somebody who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// As far as we know.
    There,
    /// The pipe has been closed: `| head -1`.
    Gone,
}

/// Prints a line, at once.
///
/// # Errors
/// When it can't be written for another reason than that nobody reads.
pub fn line(text: &str) -> Result<Reader, Failure> {
    print(&format!("{text}\n"))
}

/// Prints a text, at once.
///
/// # Errors
/// When it can't be written for another reason than that nobody reads.
pub fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::system("can't write to stdout")(error)),
    }
}

/// Tells of names that look like patterns, which only publishers' tokens have.
pub fn note_patterns(channels: &[String]) {
    for channel in channels.iter().filter(|channel| channel.ends_with('*')) {
        note(&format!(
            "{channel} is the name of one channel here; subscriptions know no patterns"
        ));
    }
}

/// Tells on stderr what is worth knowing, but not asked for.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "bifrost: {text}"); // nobody is left to be told
}
