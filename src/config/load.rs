//! Reads all settings into a `Config`, and checks those that depend on each other.

use crate::auth::Algorithm;
use crate::config::available_memory;
use crate::config::error::ConfigError;
use crate::config::listen_address;
use crate::config::reader::{GOOD_SECRET, Reader};
use crate::config::secret_lint;
use crate::config::values::{Config, Timeouts};
use crate::config::variables::Variables;

impl Config {
    /// Checks the variables that were given. An empty one is as good as not given.
    ///
    /// # Errors
    /// The first setting that is wrong, in one sentence that names it, its value unless it
    /// is a secret, and what it may be.
    pub fn from_variables(variables: &Variables) -> Result<Config, ConfigError> {
        let read = Reader(variables);
        Ok(Config {
            algorithm: read.one_of("JWT_ALGORITHM", Algorithm::HS512, "HS256, HS384 or HS512")?,
            host: read.host()?,
            port: read
                .parsed("PORT", "a number from 0 to 65535", |text| text.parse().ok())?
                .unwrap_or(3000),
            metrics_addr: read.parsed(
                "BIFROST_METRICS_ADDR",
                "an address and a port, such as 127.0.0.1:9464 or [::1]:9464",
                |text| text.parse().ok(),
            )?,
            max_connections: read.count("BIFROST_MAX_CONNECTIONS")?,
            max_connections_per_ip: read.count("BIFROST_MAX_CONNECTIONS_PER_IP")?,
            trusted_proxies: read.trusted_proxies()?,
            max_body: read.size("BIFROST_MAX_BODY", 1 << 20)?,
            queue: read.size("BIFROST_QUEUE", 1 << 20)?,
            queue_total: read.size("BIFROST_QUEUE_TOTAL", available_memory::bytes() / 4)?,
            timeouts: Timeouts {
                ping_interval: read.duration("BIFROST_PING_INTERVAL", 15)?,
                auth: read.duration("BIFROST_AUTH_TIMEOUT", 10)?,
                request: read.duration("BIFROST_REQUEST_TIMEOUT", 10)?,
                idle: read.duration("BIFROST_IDLE_TIMEOUT", 75)?,
                write: read.duration("BIFROST_WRITE_TIMEOUT", 5)?,
                drain: read.duration("BIFROST_DRAIN_TIMEOUT", 10)?,
            },
            allowed_origins: read.origins()?,
            log: read.log_level()?,
            secret: read.secret()?,
            previous_secret: read.previous_secret()?,
            unknown: Vec::new(),
        })
    }

    /// Checks that the two listeners don't meet, where the main one is not inherited.
    ///
    /// # Errors
    /// When they do; `variables` are those of the settings.
    pub fn check_listeners(&self, variables: &Variables) -> Result<(), ConfigError> {
        let Config { host, port, .. } = self;
        match self.metrics_addr {
            Some(address) if listen_address::overlap(host, *port, address) => {
                let name = |variable| Reader(variables).name(variable);
                Err(ConfigError::Setting(format!(
                    "{} is {address}, where {} {host:?} with {} {port} listens; use another port",
                    name("BIFROST_METRICS_ADDR"),
                    name("HOST"),
                    name("PORT"),
                )))
            }
            _ => Ok(()),
        }
    }

    /// The same, which warns of names that were given like settings, and are none.
    #[must_use]
    pub fn with_unknown(self, unknown: Vec<String>) -> Config {
        Config { unknown, ..self }
    }

    /// What is allowed but not good, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let size = self.secret.size();
        let short = format!("short secret bytes={size} better={GOOD_SECRET}");
        let same = "JWT_SECRET_PREVIOUS is the same secret as JWT_SECRET, and has no effect";
        let is_same = self.previous_secret.as_ref() == Some(&self.secret);
        let short = (size < GOOD_SECRET).then_some(short);
        let same = is_same.then(|| same.to_owned());
        let odd = secret_lint::warnings(&self.secret, "the secret");
        let previous = self.previous_secret.iter().filter(|_| !is_same);
        let odd_previous = previous.flat_map(|s| secret_lint::warnings(s, "the previous secret"));
        let unknown = self.unknown.iter();
        let unknown = unknown
            .map(|name| format!("{name} is set, but is no setting; see bifrost serve --help"));
        let of_secrets = short.into_iter().chain(same).chain(odd).chain(odd_previous);
        of_secrets.chain(unknown).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::LevelFilter;

    use super::*;
    use crate::config::SETTINGS;
    use crate::config::fixtures::variables;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let mut all = vec![("JWT_SECRET", SECRET)];
        all.extend_from_slice(pairs);
        Config::from_variables(&variables(&all))
    }

    fn message(result: Result<Config, ConfigError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = config(&[]).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("0.0.0.0", 3000));
        assert_eq!((config.max_body, config.queue), (1_048_576, 1_048_576));
        assert_eq!(config.queue_total, available_memory::bytes() / 4);
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
    fn a_wrong_value_is_named_with_its_cure() {
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
    fn two_listeners_need_two_places() {
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
    fn an_empty_variable_is_an_unset_one() {
        let config = config(&[("PORT", ""), ("JWT_SECRET_FILE", ""), ("BIFROST_LOG", "")]);
        assert_eq!(config.unwrap().port, 3000);
    }

    #[test]
    fn a_secret_is_needed_once_and_long_and_never_told() {
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
    fn a_previous_secret_is_as_long_and_never_told_and_may_be_missing() {
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
    fn an_empty_file_is_no_previous_secret_but_a_wrong_secret() {
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
    fn a_secret_file_that_cannot_be_read_is_another_kind_of_error() {
        let variables = variables(&[("JWT_SECRET_FILE", "/nowhere/secret")]);
        let error = Config::from_variables(&variables).unwrap_err();
        assert!(matches!(error, ConfigError::File(_)), "{error}");
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

    #[test]
    fn every_flag_is_its_variable_in_lower_case() {
        for setting in SETTINGS {
            let name = setting.variable.trim_start_matches("BIFROST_");
            let flag = name.to_lowercase().replace('_', "-");
            let is_secret = ["JWT_SECRET", "JWT_SECRET_PREVIOUS"].contains(&setting.variable);
            let expected = (!is_secret).then_some(flag.as_str());
            assert_eq!(setting.flag, expected);
        }
    }
}
