//! Reading the settings again while the server runs, on SIGHUP.
//!
//! They are checked by the code that checked them at the start, and put into force as a whole or
//! not at all.

use std::io;
use std::sync::mpsc::Receiver;
use std::thread;

use log::{debug, error, info, warn};

use super::systemd::notify::Notifier;
use crate::config::{Change, Config, ConfigError};
use crate::net::Shutdown;

/// What asks for reloads, and how the settings are read.
pub struct Reload {
    /// Receives for each reload that is asked for.
    pub reloads: Receiver<()>,
    /// Reads the settings as they are now.
    pub read: Box<dyn Fn() -> Result<Config, ConfigError> + Send>,
}

impl Reload {
    /// Starts the thread that reloads. `config` is in force until `apply` has put another one into
    /// force.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        self,
        mut config: Config,
        notifier: Notifier,
        shutdown: Shutdown,
        apply: impl Fn(&Config) + Send + 'static,
    ) -> io::Result<()> {
        let serve = move || {
            for () in &self.reloads {
                if shutdown.is_triggered() {
                    info!("reload ignored reason=\"the server stops\"");
                    continue;
                }
                notifier.reloading();
                debug!("reloading");
                match self.reload(&config, &apply) {
                    Ok(new) => config = new,
                    Err(message) => {
                        error!("reload failed, the settings stay as they were: {message}");
                    }
                }
                notifier.ready(); // however it ended
            }
        };
        thread::Builder::new()
            .name("reload".into())
            .spawn(serve)
            .map(drop)
    }

    /// Reads the settings and puts them into force; returns them.
    fn reload(&self, old: &Config, apply: impl Fn(&Config)) -> Result<Config, String> {
        let read = (self.read)().map_err(|error| error.to_string())?;
        let changes = old.changes(&read);
        let new = read.keep_restart_settings_of(old);
        if !changes.iter().all(Change::needs_restart) {
            apply(&new);
        }
        // The more detailed of the two levels, so that a change of the level is logged too.
        log::set_max_level(old.log.max(new.log));
        log_changes(&changes);
        let known = old.warnings();
        let warnings = new.warnings().into_iter();
        warnings
            .filter(|warning| !known.contains(warning))
            .for_each(|warning| warn!("{warning}"));
        log::set_max_level(new.log);
        Ok(new)
    }
}

fn log_changes(changes: &[Change]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::config;
    use std::sync::mpsc::{channel, sync_channel};
    use std::time::Duration;

    /// Asks for one reload for each answer; returns `queue` of each configuration that was applied.
    fn applied(answers: Vec<Result<Config, ConfigError>>) -> Vec<usize> {
        let (ask, reloads) = sync_channel(answers.len());
        let (tell, told) = channel();
        let answers = parking_lot::Mutex::new(answers.into_iter());
        (0..answers.lock().len()).for_each(|_| ask.send(()).unwrap());
        drop(ask); // ends the thread after the last one
        let reload = Reload {
            reloads,
            read: Box::new(move || answers.lock().next().unwrap()),
        };
        let apply = move |new: &Config| tell.send(new.queue).unwrap();
        let (notifier, shutdown) = (Notifier::default(), Shutdown::new().unwrap());
        let old = config(&[]).unwrap();
        reload.start(old, notifier, shutdown, apply).unwrap();
        let next = || told.recv_timeout(Duration::from_secs(20)).ok();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_changed_configuration_is_applied_once() {
        let new = || config(&[("BIFROST_QUEUE", "5B")]);
        assert_eq!(applied(vec![new(), new(), new()]), [5]);
    }

    #[test]
    fn wrong_unchanged_and_restart_settings_are_not_applied() {
        let answers = vec![
            config(&[("BIFROST_QUEUE", "lots")]),
            config(&[("PORT", "5")]),
            config(&[]),
            config(&[("BIFROST_QUEUE", "6B"), ("PORT", "5")]),
        ];
        assert_eq!(applied(answers), [6]);
    }
}
