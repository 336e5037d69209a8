//! What is different in settings that were read again, and what of it takes a restart.

use std::fmt;

use crate::config::settings::SETTINGS;
use crate::config::values::Config;

/// What is settled once and for all when the server starts.
const AT_START: [&str; 3] = ["HOST", "PORT", "BIFROST_METRICS_ADDR"];

/// One setting that is no longer what it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    variable: &'static str,
    /// What it is now; of a secret only that it has changed.
    value: String,
}

impl Change {
    /// Whether it counts only after a restart.
    pub fn needs_restart(&self) -> bool {
        AT_START.contains(&self.variable)
    }
}

/// As in the log: `BIFROST_QUEUE=2MiB`.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { variable, value } = self;
        match value.contains([' ', '"', '=']) {
            true => write!(formatter, "{variable}={value:?}"),
            false => write!(formatter, "{variable}={value}"),
        }
    }
}

impl Config {
    /// What is different in `new`, in the order of the settings.
    pub fn changes(&self, new: &Config) -> Vec<Change> {
        let change = |variable| {
            let value = match variable {
                "JWT_SECRET_FILE" | "JWT_SECRET_PREVIOUS_FILE" => None,
                "JWT_SECRET" => changed(&self.secret, &new.secret),
                "JWT_SECRET_PREVIOUS" => changed(&self.previous_secret, &new.previous_secret),
                _ => new
                    .value_of(variable)
                    .filter(|value| self.value_of(variable).as_ref() != Some(value)),
            };
            value.map(|value| Change { variable, value })
        };
        let variables = SETTINGS.iter().map(|setting| setting.variable);
        variables.filter_map(change).collect()
    }

    /// The same but for what was settled when `old` was read, and stays.
    #[must_use]
    pub fn after_start_with(self, old: &Config) -> Config {
        Config {
            host: old.host.clone(),
            port: old.port,
            metrics_addr: old.metrics_addr,
            ..self
        }
    }
}

fn changed<T: PartialEq>(old: &T, new: &T) -> Option<String> {
    (old != new).then(|| "changed".into())
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

    /// Settings that are not their defaults; one for each that there is.
    const OTHERS: [(&str, &str); 21] = [
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
        ("BIFROST_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("BIFROST_MAX_BODY", "5B"),
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
        ("BIFROST_URL", "http://127.0.0.1:1"),
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
    fn what_needs_a_restart_stays_until_then() {
        let old = config(&[("PORT", "3000")]);
        let new = config(&[
            ("PORT", "3001"),
            ("BIFROST_METRICS_ADDR", "[::1]:9464"),
            ("BIFROST_QUEUE", "5B"),
        ]);
        let restart = |change: &Change| change.needs_restart();
        assert_eq!(old.changes(&new).iter().filter(|c| restart(c)).count(), 2);
        let in_force = new.clone().after_start_with(&old);
        assert_eq!((in_force.port, in_force.queue), (3000, 5));
        assert_eq!(in_force.changes(&new).len(), 2);
    }
}
