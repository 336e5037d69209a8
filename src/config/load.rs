//! Reads every row of the settings table into a `Config`.

use crate::config::error::ConfigError;
use crate::config::setting::Setting;
use crate::config::settings::{SETTINGS, capacity, listeners};
use crate::config::values::Config;
use crate::config::variables::Variables;

impl Config {
    /// Parses and checks the values that were given. An empty value counts as not given.
    ///
    /// # Errors
    /// The first setting that is wrong, in one sentence that names it, its value unless it
    /// is a secret, and what it may be.
    pub fn from_variables(variables: &Variables) -> Result<Config, ConfigError> {
        let mut config = Config::unread();
        for setting in in_reading_order() {
            read(setting, variables, &mut config)?;
        }
        Ok(config)
    }

    /// All errors of the values that were given; the first is the one that
    /// [`Config::from_variables`] returns.
    pub fn errors(variables: &Variables) -> Vec<ConfigError> {
        let mut config = Config::unread();
        in_reading_order()
            .filter_map(|setting| read(setting, variables, &mut config).err())
            .collect()
    }

    /// The same configuration, which warns of these names: they look like a setting's, but are
    /// none.
    #[must_use]
    pub fn with_unknown(self, unknown: Vec<String>) -> Config {
        Config { unknown, ..self }
    }
}

/// The host and the port that the server listens on, for a command that connects to it. The
/// other settings are not looked at.
///
/// # Errors
/// The one of the two that is wrong, as [`Config::from_variables`] words it.
pub fn listen_address(variables: &Variables) -> Result<(String, u16), ConfigError> {
    let host = listeners::host(&listeners::HOST.reader(variables))?;
    let port = listeners::port(&listeners::PORT.reader(variables))?;
    Ok((host, port))
}

/// The largest request body that the server accepts, in bytes. The other settings are not
/// looked at.
///
/// # Errors
/// When it is wrong, as [`Config::from_variables`] words it.
pub fn max_body(variables: &Variables) -> Result<usize, ConfigError> {
    capacity::MAX_BODY.reader(variables).size()
}

/// The order in which errors are reported: that of the table, the secrets last.
fn in_reading_order() -> impl Iterator<Item = &'static Setting> {
    let others = SETTINGS.iter().filter(|setting| !setting.is_secret());
    others.chain(SETTINGS.iter().filter(|setting| setting.is_secret()))
}

fn read(setting: &Setting, variables: &Variables, config: &mut Config) -> Result<(), ConfigError> {
    (setting.read)(&setting.reader(variables), config)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::LevelFilter;

    use super::*;
    use crate::auth::Algorithm;
    use crate::config::fixtures::{config, message, variables};

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = config(&[]).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("0.0.0.0", 3000));
        assert_eq!((config.max_body, config.queue), (1_048_576, 1_048_576));
        let memory = crate::config::available_memory::bytes();
        assert_eq!(
            (config.input_total, config.queue_total),
            (memory / 8, memory / 4)
        );
        assert_eq!(config.timeouts.ping_interval, Duration::from_secs(15));
        assert_eq!(config.timeouts.idle, Duration::from_secs(75));
        assert_eq!(
            (config.max_connections, config.log),
            (None, LevelFilter::Info)
        );
        assert_eq!(config.algorithm, Algorithm::HS512);
        assert!(config.allowed_origins.is_none() && config.metrics_addr.is_none());
    }

    #[test]
    fn a_wrong_value_is_named_with_what_it_may_be() {
        let port = message(config(&[("PORT", "80a")]));
        assert_eq!(port, r#"PORT is "80a"; use a number from 0 to 65535"#);
        let log = message(config(&[("BIFROST_LOG", "loud")]));
        assert_eq!(
            log,
            r#"BIFROST_LOG is "loud"; use error, warn, info or debug"#
        );
        for (name, value) in [
            ("HOST", "not a host"),
            ("HOST", "127.0.0.1:3000"),
            ("HOST", "[::1]:3000"),
            ("HOST", "a:b"),
            ("BIFROST_METRICS_ADDR", "127.0.0.1"),
            ("BIFROST_METRICS_ADDR", "localhost:9464"),
            ("BIFROST_METRICS_ADDR", "::1:65536"),
            ("BIFROST_MAX_CONNECTIONS", "0"),
            ("BIFROST_MAX_CONNECTIONS_PER_IP", "0"),
            ("BIFROST_TRUSTED_PROXIES", "10.0.0.0/40"),
            ("BIFROST_QUEUE", "0"),
            ("BIFROST_MAX_BODY", "1MB"),
            ("BIFROST_PING_INTERVAL", "0"),
            ("BIFROST_IDLE_TIMEOUT", "25h"),
            ("JWT_ALGORITHM", "none"),
            ("BIFROST_ALLOWED_ORIGINS", "example.com"),
        ] {
            let message = message(config(&[(name, value)]));
            assert!(
                message.contains(name) && message.contains(value),
                "{message}"
            );
        }
    }

    #[test]
    fn all_errors_are_found_in_the_order_of_the_table_and_secrets_last() {
        let wrong = [
            ("JWT_SECRET", "short"),
            ("BIFROST_LOG", "loud"),
            ("JWT_ALGORITHM", "none"),
            ("PORT", "80a"),
        ];
        let errors = Config::errors(&variables(&wrong));
        let named: Vec<String> = errors
            .iter()
            .map(|error| error.to_string().split(' ').take(1).collect())
            .collect();
        assert_eq!(
            named,
            ["JWT_ALGORITHM", "PORT", "BIFROST_LOG", "JWT_SECRET"]
        );
        let first = Config::from_variables(&variables(&wrong)).unwrap_err();
        assert_eq!(errors[0], first);
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let config = config(&[("PORT", ""), ("JWT_SECRET_FILE", ""), ("BIFROST_LOG", "")]);
        assert_eq!(config.unwrap().port, 3000);
    }

    #[test]
    fn a_secret_is_required_and_long_and_never_shown() {
        let missing = Config::from_variables(&Variables::new())
            .unwrap_err()
            .to_string();
        assert!(missing.starts_with("JWT_SECRET is missing"));
        let short = message(config(&[("JWT_SECRET", "hush-hush-hush")]));
        assert!(
            short.contains("14 bytes") && !short.contains("hush"),
            "{short}"
        );
        let both = message(config(&[("JWT_SECRET_FILE", "/nowhere")]));
        assert!(both.contains("both"), "{both}");
    }

    #[test]
    fn a_previous_secret_is_optional_and_long_and_never_shown() {
        assert_eq!(config(&[]).unwrap().previous_secret, None);
        let previous = (
            "JWT_SECRET_PREVIOUS",
            "a-previous-secret-of-more-than-32-bytes",
        );
        let kept = config(&[previous]).unwrap().previous_secret.unwrap();
        assert_eq!(kept.bytes(), previous.1.as_bytes());
        let short = message(config(&[("JWT_SECRET_PREVIOUS", "hush-hush-hush")]));
        assert!(short.starts_with("JWT_SECRET_PREVIOUS has a secret of 14 bytes"));
        assert!(!short.contains("hush"), "{short}");
        let both = message(config(&[
            previous,
            ("JWT_SECRET_PREVIOUS_FILE", "/nowhere"),
        ]));
        assert!(both.starts_with("JWT_SECRET_PREVIOUS and JWT_SECRET_PREVIOUS_FILE are both set"));
        let missing = config(&[("JWT_SECRET_PREVIOUS_FILE", "/nowhere/secret")]).unwrap_err();
        assert!(matches!(missing, ConfigError::File(_)), "{missing}");
    }

    #[test]
    fn an_empty_file_means_no_previous_secret_but_a_wrong_secret() {
        let path = std::env::temp_dir().join(format!("bifrost-empty-{}", std::process::id()));
        for content in ["", "\n", "\r\n"] {
            std::fs::write(&path, content).unwrap();
            let path = path.to_str().unwrap();
            let previous = config(&[("JWT_SECRET_PREVIOUS_FILE", path)]).unwrap();
            assert_eq!(previous.previous_secret, None, "{content:?}");
            let current = Config::from_variables(&variables(&[("JWT_SECRET_FILE", path)]));
            assert!(message(current).contains("a secret of 0 bytes"));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_secret_file_that_cannot_be_read_is_another_kind_of_error() {
        let variables = variables(&[("JWT_SECRET_FILE", "/nowhere/secret")]);
        let error = Config::from_variables(&variables).unwrap_err();
        assert!(matches!(error, ConfigError::File(_)), "{error}");
    }
}
