//! Printing: results on stdout, whose reader may have closed it, and notes on stderr.

use std::io::{self, ErrorKind, Write};

use super::outcome::CommandError;

/// Whether stdout still has a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// As far as is known.
    Open,
    /// The pipe has been closed: `| head -1`.
    Closed,
}

/// Prints a line, at once.
///
/// # Errors
/// When it can't be written, unless because the reader is gone.
pub fn line(text: &str) -> Result<Reader, CommandError> {
    print(&format!("{text}\n"))
}

/// Prints a text, at once.
///
/// # Errors
/// When it can't be written, unless because the reader is gone.
pub fn print(text: &str) -> Result<Reader, CommandError> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(Reader::Open),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Closed),
        Err(error) => Err(CommandError::system("can't write to stdout")(error)),
    }
}

/// Warns of channel names that look like patterns, which only publisher tokens have.
pub fn note_patterns(channels: &[String]) {
    for channel in channels.iter().filter(|channel| channel.ends_with('*')) {
        note(&format!(
            "{channel} is the name of one channel here; subscriptions know no patterns"
        ));
    }
}

/// Prints a note on stderr.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "bifrost: {text}"); // stderr is closed
}
