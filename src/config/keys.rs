//! The part of the settings that signing and verifying take: what the commands beside `serve` need.

use crate::auth::{Algorithm, Secret};
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::variables::Variables;

/// What tokens are signed and verified with.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The HMAC secret. No default.
    pub secret: Secret,
    /// The only algorithm accepted. Default HS512.
    pub algorithm: Algorithm,
}

impl Keys {
    /// Checks the secret and the algorithm, and no other setting.
    ///
    /// # Errors
    /// The first of the two that is wrong, as the server would say it.
    pub fn from_variables(variables: &Variables) -> Result<Keys, ConfigError> {
        Ok(Keys {
            algorithm: Keys::algorithm(variables)?,
            secret: Reader(variables).secret()?,
        })
    }

    /// The algorithm alone, for who has no secret.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn algorithm(variables: &Variables) -> Result<Algorithm, ConfigError> {
        Reader(variables).one_of("JWT_ALGORITHM", Algorithm::HS512, "HS256, HS384 or HS512")
    }

    /// The secret before, by which tokens are verified too. Nobody signs with it.
    ///
    /// # Errors
    /// When one is given that can't be one, as the server would say it.
    pub fn previous(variables: &Variables) -> Result<Option<Secret>, ConfigError> {
        Reader(variables).previous_secret()
    }

    /// Whether a secret was given, good or not.
    pub fn are_given(variables: &Variables) -> bool {
        ["JWT_SECRET", "JWT_SECRET_FILE"].iter().any(|name| {
            variables
                .get(name)
                .is_some_and(|given| !given.value.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::variables;

    #[test]
    fn settings_of_the_server_are_not_looked_at() {
        let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let all = variables(&[secret, ("PORT", "80a"), ("JWT_ALGORITHM", "HS256")]);
        assert!(Keys::are_given(&all));
        assert_eq!(
            Keys::from_variables(&all).unwrap().algorithm,
            Algorithm::HS256
        );
    }

    #[test]
    fn a_wrong_secret_is_as_wrong_as_for_the_server() {
        assert!(!Keys::are_given(&variables(&[("JWT_SECRET", "")])));
        for pairs in [
            &[][..],
            &[("JWT_SECRET", "short")],
            &[("JWT_ALGORITHM", "none")],
        ] {
            assert!(Keys::from_variables(&variables(pairs)).is_err());
        }
    }
}
