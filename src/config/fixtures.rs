//! Variables and configurations for unit tests.

use crate::config::{Config, ConfigError, Given, Variables};

/// A secret that is long enough.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The configuration of these variables and [`SECRET`], unless they have a secret.
pub fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    Config::from_variables(&variables(&[&[("JWT_SECRET", SECRET)], pairs].concat()))
}

/// The text of an error.
pub fn message(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

/// Variables as if each pair had been found in the environment.
pub fn variables(pairs: &[(&'static str, &str)]) -> Variables {
    let given = |&(name, value): &(&'static str, &str)| {
        let given = Given {
            name: name.into(),
            value: value.into(),
        };
        (name, given)
    };
    pairs.iter().map(given).collect()
}
