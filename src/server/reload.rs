//! The settings, read again while the server runs: what SIGHUP asks for.
//!
//! Everything is checked by the code that checked it at the start, and put into force as a
//! whole or not at all. How it is put into force, the server knows.

use std::io;
use std::sync::mpsc::Receiver;
use std::thread;

use log::{debug, error, info, warn};

use crate::config::{Change, Config, ConfigError};
use crate::net::shutdown::Shutdown;
use crate::server::systemd::notify::Notifier;

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
        stop: Shutdown,
        adopt: impl Fn(&Config) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let serve = move || {
            for () in &self.wishes {
                if stop.is_triggered() {
                    info!("reload ignored reason=\"the server stops\"");
                    continue;
                }
                notifier.reloading();
                debug!("reloading");
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
        let new = read.keep_restart_settings_of(old);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::variables;
    use std::sync::mpsc::{channel, sync_channel};
    use std::time::Duration;

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        Config::from_variables(&variables(&[&[secret], pairs].concat()))
    }

    /// Signals as many times as there are answers; gives the queue of each that was adopted, or
    /// was to be.
    fn adopted(
        answers: Vec<Result<Config, ConfigError>>,
        outcomes: Vec<io::Result<()>>,
    ) -> Vec<usize> {
        let (wish, wishes) = sync_channel(answers.len());
        let (tell, told) = channel();
        let (answers, outcomes) = (
            parking_lot::Mutex::new(answers.into_iter()),
            parking_lot::Mutex::new(outcomes.into_iter()),
        );
        (0..answers.lock().len()).for_each(|_| wish.send(()).unwrap());
        drop(wish); // ends the thread after the last one
        let reload = Reload {
            wishes,
            read: Box::new(move || answers.lock().next().unwrap()),
        };
        let adopt = move |new: &Config| {
            tell.send(new.queue).unwrap();
            outcomes.lock().next().unwrap()
        };
        let (notifier, stop) = (Notifier::default(), Shutdown::new().unwrap());
        let old = config(&[]).unwrap();
        reload.start(old, notifier, stop, adopt).unwrap();
        let next = || told.recv_timeout(Duration::from_secs(20)).ok();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_could_not_be_adopted_is_still_new_the_next_time() {
        let new = || config(&[("BIFROST_QUEUE", "5B")]);
        let outcomes = vec![Err(io::ErrorKind::OutOfMemory.into()), Ok(())];
        assert_eq!(adopted(vec![new(), new(), new()], outcomes), [5, 5]);
    }

    #[test]
    fn what_is_wrong_or_needs_a_restart_or_is_the_same_is_not_adopted() {
        let answers = vec![
            config(&[("BIFROST_QUEUE", "lots")]),
            config(&[("PORT", "5")]),
            config(&[]),
            config(&[("BIFROST_QUEUE", "6B"), ("PORT", "5")]),
        ];
        assert_eq!(adopted(answers, vec![Ok(())]), [6]);
    }
}
