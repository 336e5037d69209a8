//! What SIGTERM, SIGINT and SIGHUP ask for.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use log::info;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use crate::net::Shutdown;

/// The exit status of a process that a signal ends is this and the signal's number.
const SIGNALLED: i32 = 128;
/// A second Ctrl-C within this time is the same one: a wrapper may pass on what the whole process
/// group has received already.
const SAME_KEYPRESS: Duration = Duration::from_millis(500);

/// What signals ask of the server.
pub struct Signals {
    /// Triggered by SIGTERM or SIGINT.
    pub shutdown: Shutdown,
    /// Receives for each SIGHUP. One that comes while another waits asks for nothing more.
    pub reloads: Receiver<()>,
}

/// Catches the signals of a server.
///
/// # Errors
/// When a descriptor, a signal or a thread is not available.
pub fn for_server() -> io::Result<Signals> {
    let shutdown = Shutdown::new()?;
    // Room for one: the reload that follows reads everything that was changed before.
    let (sender, reloads) = sync_channel(1);
    watch(shutdown.clone(), Some(sender))?;
    Ok(Signals { shutdown, reloads })
}

/// Catches the signals of a command, which ends at the first SIGTERM or SIGINT.
///
/// # Errors
/// As [`for_server`].
pub fn for_command() -> io::Result<Shutdown> {
    let shutdown = Shutdown::new()?;
    watch(shutdown.clone(), None)?;
    Ok(shutdown)
}

/// The first SIGTERM or SIGINT triggers the shutdown. A second one ends a command at once; a
/// server ends at once only on a second Ctrl-C, since subscribers would lose what is queued.
/// SIGHUP asks for a reload, where there is one; but when it comes because the terminal was closed
/// in whose foreground the server was started, it triggers the shutdown.
fn watch(shutdown: Shutdown, reload: Option<SyncSender<()>>) -> io::Result<()> {
    let mut signals = iterator::Signals::new([SIGINT, SIGTERM])?;
    if reload.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    let had_terminal = is_in_foreground();
    let is_server = reload.is_some();
    let watch = move || {
        for signal in signals.forever() {
            let lost_terminal = had_terminal && terminal().is_none();
            if signal == SIGHUP && !lost_terminal {
                let _ = reload.as_ref().map(|reload| reload.try_send(())); // full: one waits
                continue;
            }
            match shutdown.triggered_at() {
                None => info!("stopping signal={signal}"),
                Some(_) if !is_server => std::process::exit(SIGNALLED + signal),
                Some(at) if signal == SIGINT && at.elapsed() >= SAME_KEYPRESS => {
                    std::process::exit(SIGNALLED + signal);
                }
                Some(_) => {}
            }
            shutdown.trigger();
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map(drop)
}

/// The terminal that the process belongs to, wherever its output goes (credentials(7)).
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether the process is in the foreground of its terminal. One in the background outlives it.
fn is_in_foreground() -> bool {
    terminal().is_some_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
