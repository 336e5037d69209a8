//! The difference between two configurations, and which changes need a restart.

use std::fmt;

use crate::config::setting::{Effect, Setting, Show};
use crate::config::settings::SETTINGS;
use crate::config::values::Config;

/// One setting whose value has changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    variable: &'static str,
    /// The new value; of a secret only that it has changed.
    value: String,
    needs_restart: bool,
}

impl Change {
    /// Whether it takes effect only after a restart.
    pub fn needs_restart(&self) -> bool {
        self.needs_restart
    }
}

/// As in the log: `BIFROST_QUEUE=2MiB`.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change {
            variable, value, ..
        } = self;
        if value.contains([' ', '"', '=']) {
            write!(formatter, "{variable}={value:?}")
        } else {
            write!(formatter, "{variable}={value}")
        }
    }
}

impl Config {
    /// The settings whose values differ in `new`, in the order of the table.
    pub fn changes(&self, new: &Config) -> Vec<Change> {
        let change = |setting: &Setting| {
            Some(Change {
                variable: setting.variable,
                value: changed_value(setting, self, new)?,
                needs_restart: setting.needs_restart(),
            })
        };
        SETTINGS.iter().filter_map(change).collect()
    }

    /// The same configuration, but for the settings that take a restart: they keep the values
    /// that they have in `old`.
    #[must_use]
    pub fn keep_restart_settings_of(mut self, old: &Config) -> Config {
        for setting in SETTINGS {
            if let Effect::Restart(keep) = setting.effect {
                keep(&mut self, old);
            }
        }
        self
    }
}

/// The new value, if it is another one. Secrets are compared themselves, since two of them may
/// have the same length; one in a file is a change of the secret, whose row comes before.
fn changed_value(setting: &Setting, old: &Config, new: &Config) -> Option<String> {
    match setting.show {
        Show::SecretFile(_) => None,
        Show::Secret(secret) => (secret(old) != secret(new)).then(|| "changed".to_owned()),
        Show::Value(_) => {
            let value = setting.value_in(new);
            (value != setting.value_in(old)).then_some(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::variables;

    const SECRET: (&str, &str) = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");

    fn config(pairs: &[(&'static str, &str)]) -> Config {
        let all = [&[SECRET], pairs].concat();
        Config::from_variables(&variables(&all)).unwrap()
    }

    /// For each setting a value that is not its default.
    const OTHERS: [(&str, &str); 22] = [
        ("JWT_SECRET", "another-secret-of-32-bytes-or-more"),
        (
            "JWT_SECRET_PREVIOUS",
            "a-previous-secret-of-32-bytes-or-more",
        ),
        ("JWT_ALGORITHM", "HS256"),
        ("HOST", "127.0.0.1"),
        ("PORT", "8080"),
        ("BIFROST_METRICS_ADDR", "127.0.0.1:9464"),
        ("BIFROST_MAX_CONNECTIONS", "5"),
        ("BIFROST_MAX_CONNECTIONS_PER_IP", "5"),
        ("BIFROST_MAX_CONNECTIONS_PER_TOKEN", "5"),
        ("BIFROST_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("BIFROST_MAX_BODY", "5B"),
        ("BIFROST_INPUT_TOTAL", "5B"),
        ("BIFROST_QUEUE", "5B"),
        ("BIFROST_QUEUE_TOTAL", "5B"),
        ("BIFROST_PING_INTERVAL", "5ms"),
        ("BIFROST_AUTH_TIMEOUT", "5ms"),
        ("BIFROST_REQUEST_TIMEOUT", "5ms"),
        ("BIFROST_IDLE_TIMEOUT", "5ms"),
        ("BIFROST_WRITE_TIMEOUT", "5ms"),
        ("BIFROST_DRAIN_TIMEOUT", "5ms"),
        ("BIFROST_ALLOWED_ORIGINS", "https://a.example"),
        ("BIFROST_LOG", "debug"),
    ];

    #[test]
    fn every_setting_that_changes_is_named_and_no_secret_is_shown() {
        let old = config(&[]);
        assert_eq!(old.changes(&old.clone()), []);
        for setting in SETTINGS.iter().filter(|s| !s.variable.ends_with("_FILE")) {
            let given = OTHERS.iter().find(|(name, _)| *name == setting.variable);
            let given = *given.unwrap_or_else(|| panic!("{} is missing above", setting.variable));
            let changes = old.changes(&config(&[given]));
            let [change] = &changes[..] else {
                panic!("{changes:?}");
            };
            let (name, value) = given;
            let value = match value {
                _ if name.starts_with("JWT_SECRET") => "changed".into(),
                _ if value.contains(' ') => format!("{value:?}").replace("::1", "::1/128"),
                _ => value.to_owned(),
            };
            assert_eq!(change.to_string(), format!("{name}={value}"));
        }
    }

    #[test]
    fn settings_that_take_a_restart_keep_their_values() {
        let old = config(&[("PORT", "3000")]);
        let new = config(&[
            ("PORT", "3001"),
            ("BIFROST_METRICS_ADDR", "[::1]:9464"),
            ("BIFROST_QUEUE", "5B"),
        ]);
        let restart = |change: &Change| change.needs_restart();
        assert_eq!(old.changes(&new).iter().filter(|c| restart(c)).count(), 2);
        let in_force = new.clone().keep_restart_settings_of(&old);
        assert_eq!((in_force.port, in_force.queue), (3000, 5));
        assert_eq!(in_force.changes(&new).len(), 2);
    }
}
