//! The settings, read again while the server runs: what SIGHUP asks for.
//!
//! Everything is checked by the code that checked it at the start, and put into force as a
//! whole or not at all. How it is put into force, the server knows.

use std::io;
use std::sync::mpsc::Receiver;
use std::thread;

use log::{error, info, warn};

use crate::config::{Change, Config, ConfigError};
use crate::stop::Stop;
use crate::systemd::notify::Notifier;

/// Who wants the settings to be read again, and how they are read.
pub struct Reload {
    /// One for each wish. Those that come while another waits ask for nothing more.
    pub wishes: Receiver<()>,
    /// Reads the settings as they are now.
    pub read: Box<dyn Fn() -> Result<Config, ConfigError> + Send>,
}

impl Reload {
    /// Starts the thread that waits for wishes. `config` is in force until `adopt` has put
    /// another one there.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        self,
        mut config: Config,
        notifier: Notifier,
        stop: Stop,
        adopt: impl Fn(&Config) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let serve = move || {
            for () in &self.wishes {
                if stop.is_raised() {
                    info!("reload ignored reason=\"the server stops\"");
                    continue;
                }
                notifier.reloading();
                match self.renew(&config, &adopt) {
                    Ok(new) => config = new,
                    Err(sentence) => {
                        error!("reload failed, the settings stay as they were: {sentence}");
                    }
                }
                notifier.ready(); // whatever came of it
            }
        };
        thread::Builder::new()
            .name("reload".into())
            .spawn(serve)
            .map(drop)
    }

    /// The settings that are in force from now on.
    fn renew(
        &self,
        old: &Config,
        adopt: impl Fn(&Config) -> io::Result<()>,
    ) -> Result<Config, String> {
        let read = (self.read)().map_err(|error| error.to_string())?;
        let changes = old.changes(&read);
        let new = read.after_start_with(old);
        if !changes.iter().all(Change::needs_restart) {
            adopt(&new).map_err(|error| format!("can't start a thread: {error}"))?;
        }
        // The more talkative of the two levels, so that a change of it is told too.
        log::set_max_level(old.log.max(new.log));
        tell(&changes);
        let known = old.warnings();
        let warnings = new.warnings().into_iter();
        warnings
            .filter(|warning| !known.contains(warning))
            .for_each(|warning| warn!("{warning}"));
        log::set_max_level(new.log);
        Ok(new)
    }
}

fn tell(changes: &[Change]) {
    let list = |changes: Vec<&Change>| {
        let words: Vec<_> = changes.iter().map(ToString::to_string).collect();
        words.join(" ")
    };
    let (later, now): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.needs_restart());
    match (list(now), list(later)) {
        (now, later) if now.is_empty() && later.is_empty() => info!("reloaded, nothing changed"),
        (now, later) if later.is_empty() => info!("reloaded {now}"),
        (now, later) if now.is_empty() => warn!("reloaded needs_restart={later:?}"),
        (now, later) => warn!("reloaded {now} needs_restart={later:?}"),
    }
}
