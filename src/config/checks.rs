//! Checks that concern more than one setting, and warnings of what is allowed but not good.

use crate::config::error::ConfigError;
use crate::config::listen_address;
use crate::config::secret_lint;
use crate::config::settings::listeners::{HOST, METRICS_ADDR, PORT};
use crate::config::settings::tokens::GOOD_SECRET;
use crate::config::values::Config;
use crate::config::variables::Variables;

impl Config {
    /// Checks that the two listeners don't overlap. Not for an inherited main listener, which
    /// is not on the host and port of the settings. `variables` give the names for the message.
    ///
    /// # Errors
    /// When they do.
    pub fn check_listeners(&self, variables: &Variables) -> Result<(), ConfigError> {
        let Config { host, port, .. } = self;
        let Some(metrics) = self.metrics_addr else {
            return Ok(());
        };
        if !listen_address::overlap(host, *port, metrics) {
            return Ok(());
        }
        Err(ConfigError::Setting(format!(
            "{} is {metrics}, where {} {host:?} with {} {port} listens; use another port",
            METRICS_ADDR.reader(variables).name(),
            HOST.reader(variables).name(),
            PORT.reader(variables).name(),
        )))
    }

    /// What is allowed but probably not meant, one sentence each, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let size = self.secret.size();
        if size < GOOD_SECRET {
            warnings.push(format!("short secret bytes={size} better={GOOD_SECRET}"));
        }
        let is_same = self.previous_secret.as_ref() == Some(&self.secret);
        if is_same {
            let same = "JWT_SECRET_PREVIOUS is the same secret as JWT_SECRET, and has no effect";
            warnings.push(same.to_owned());
        }
        warnings.extend(secret_lint::warnings(&self.secret, "the secret"));
        if let Some(previous) = self.previous_secret.as_ref().filter(|_| !is_same) {
            warnings.extend(secret_lint::warnings(previous, "the previous secret"));
        }
        let unknown = self.unknown.iter();
        warnings.extend(
            unknown
                .map(|name| format!("{name} is set, but is no setting; see bifrost serve --help")),
        );
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::{SECRET, config, message, variables};

    #[test]
    fn two_listeners_need_two_addresses() {
        let metrics = ("BIFROST_METRICS_ADDR", "127.0.0.1:3000");
        let checked = |pairs: &[(&'static str, &str)]| {
            let config = config(pairs)?;
            config.check_listeners(&variables(pairs)).map(|()| config)
        };
        assert_eq!(
            message(checked(&[metrics])),
            "BIFROST_METRICS_ADDR is 127.0.0.1:3000, where HOST \"0.0.0.0\" with PORT 3000 listens; \
             use another port"
        );
        assert!(checked(&[metrics, ("PORT", "3001")]).is_ok());
        assert!(checked(&[metrics, ("HOST", "127.0.0.2")]).is_ok());
    }

    #[test]
    fn a_previous_secret_that_is_the_current_one_is_only_pointed_out() {
        let long = SECRET.repeat(2);
        let both = [
            ("JWT_SECRET", long.as_str()),
            ("JWT_SECRET_PREVIOUS", &long),
        ];
        let config = Config::from_variables(&variables(&both)).unwrap();
        assert!(config.warnings()[0].contains("JWT_SECRET_PREVIOUS is the same"));
    }

    #[test]
    fn a_short_secret_draws_a_warning() {
        assert_eq!(config(&[]).unwrap().warnings().len(), 1);
        assert!(
            config(&[("JWT_SECRET", &SECRET.repeat(2))])
                .unwrap()
                .warnings()
                .is_empty()
        );
    }
}
