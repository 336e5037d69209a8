//! The settings that signing and verifying need, for the commands other than `serve`.

use crate::auth::{Algorithm, Secret};
use crate::config::error::ConfigError;
use crate::config::settings::tokens;
use crate::config::variables::Variables;

/// What tokens are signed and verified with.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The HMAC secret.
    pub secret: Secret,
    /// The only algorithm accepted.
    pub algorithm: Algorithm,
}

impl Keys {
    /// Reads the algorithm and the secret, and no other setting.
    ///
    /// # Errors
    /// The first of the two that is wrong, as [`crate::config::Config::from_variables`] words it.
    pub fn from_variables(variables: &Variables) -> Result<Keys, ConfigError> {
        Ok(Keys {
            algorithm: Keys::algorithm(variables)?,
            secret: tokens::secret(&tokens::SECRET.reader(variables))?,
        })
    }

    /// Reads the algorithm alone, for a command that runs without a secret too.
    ///
    /// # Errors
    /// When it is not one of the three.
    pub fn algorithm(variables: &Variables) -> Result<Algorithm, ConfigError> {
        tokens::algorithm(&tokens::ALGORITHM.reader(variables))
    }

    /// Reads the previous secret, which verifies tokens too, but signs none.
    ///
    /// # Errors
    /// When one is given that is wrong, as [`crate::config::Config::from_variables`] words it.
    pub fn previous(variables: &Variables) -> Result<Option<Secret>, ConfigError> {
        tokens::previous_secret(&tokens::PREVIOUS_SECRET.reader(variables))
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
    fn other_settings_of_the_server_are_not_read() {
        let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let all = variables(&[secret, ("PORT", "80a"), ("JWT_ALGORITHM", "HS256")]);
        assert!(Keys::are_given(&all));
        assert_eq!(
            Keys::from_variables(&all).unwrap().algorithm,
            Algorithm::HS256
        );
    }

    #[test]
    fn a_secret_that_the_server_refuses_is_refused() {
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
