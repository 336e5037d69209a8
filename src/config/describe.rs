//! Says in words what each setting came out as; for `bifrost check`.

use std::time::Duration;

use crate::auth::Secret;
use crate::config::values::Config;

impl Config {
    /// What a setting resolved to, as one would write it; of a secret only its length.
    /// Nothing for a name that is not known here.
    pub fn value_of(&self, variable: &str) -> Option<String> {
        let times = &self.timeouts;
        let text = match variable {
            "JWT_SECRET" | "JWT_SECRET_FILE" => secret(Some(&self.secret)),
            "JWT_SECRET_PREVIOUS" | "JWT_SECRET_PREVIOUS_FILE" => {
                secret(self.previous_secret.as_ref())
            }
            "JWT_ALGORITHM" => format!("{:?}", self.algorithm),
            "HOST" => self.host.clone(),
            "PORT" => self.port.to_string(),
            "BIFROST_METRICS_ADDR" => match self.metrics_addr {
                Some(address) => address.to_string(),
                None => "off".into(),
            },
            "BIFROST_MAX_CONNECTIONS" => match self.max_connections {
                Some(count) => count.to_string(),
                None => "what the file limit allows".into(),
            },
            "BIFROST_MAX_CONNECTIONS_PER_IP" => match self.max_connections_per_ip {
                Some(count) => count.to_string(),
                None => "no limit".into(),
            },
            "BIFROST_TRUSTED_PROXIES" => self.trusted_proxies.to_string(),
            "BIFROST_MAX_BODY" => size(self.max_body),
            "BIFROST_QUEUE" => size(self.queue),
            "BIFROST_QUEUE_TOTAL" => size(self.queue_total),
            "BIFROST_PING_INTERVAL" => duration(times.ping_interval),
            "BIFROST_AUTH_TIMEOUT" => duration(times.auth),
            "BIFROST_REQUEST_TIMEOUT" => duration(times.request),
            "BIFROST_IDLE_TIMEOUT" => duration(times.idle),
            "BIFROST_WRITE_TIMEOUT" => duration(times.write),
            "BIFROST_DRAIN_TIMEOUT" => duration(times.drain),
            "BIFROST_ALLOWED_ORIGINS" => match &self.allowed_origins {
                Some(origins) => origins.to_string(),
                None => "any".into(),
            },
            "BIFROST_LOG" => self.log.as_str().to_lowercase(),
            _ => return None,
        };
        Some(text)
    }
}

fn secret(secret: Option<&Secret>) -> String {
    match secret {
        Some(secret) => format!("a secret of {} bytes", secret.size()),
        None => "none".into(),
    }
}

/// In the largest unit that loses nothing.
fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.iter().find(|(unit, _)| millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// In the largest unit that loses nothing.
fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::variables;
    use crate::config::{SETTINGS, units};
    use proptest::prelude::*;

    #[test]
    fn every_setting_is_described_and_no_secret_is_shown() {
        let secret = "0123456789abcdef0123456789abcdef";
        let previous = "fedcba9876543210fedcba9876543210fed";
        let given = [("JWT_SECRET", secret), ("JWT_SECRET_PREVIOUS", previous)];
        let config = Config::from_variables(&variables(&given)).unwrap();
        for setting in SETTINGS {
            let value = config.value_of(setting.variable);
            let value = value.unwrap_or_else(|| panic!("{} is unknown", setting.variable));
            assert!(!value.is_empty() && !value.contains(secret), "{value}");
            assert!(!value.contains(previous), "{value}");
        }
        let previous = config.value_of("JWT_SECRET_PREVIOUS_FILE");
        assert_eq!(previous.unwrap(), "a secret of 35 bytes");
        assert_eq!(config.value_of("BIFROST_QUEUE").unwrap(), "1MiB");
        assert_eq!(config.value_of("BIFROST_IDLE_TIMEOUT").unwrap(), "75s");
        assert_eq!(config.value_of("BIFROST_NONE"), None);
    }

    proptest! {
        #[test]
        fn what_is_told_can_be_read_back(number in 1_u32..) {
            let time = Duration::from_millis(number.into());
            prop_assert_eq!(units::duration(&duration(time)), Some(time));
            let bytes = number as usize;
            prop_assert_eq!(units::size(&size(bytes)), Some(bytes as u64));
        }
    }
}
