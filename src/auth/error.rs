//! Why a token is rejected.

use std::fmt;

use crate::telemetry::labels::AuthFailure;

/// Why a token is rejected. The operator is told by the log and the metrics. A client is told the
/// same for all of them but [`AuthError::TooDeep`] and a missing scope, so that it does not learn
/// what a forgery still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// It has not three parts in base64url, or its header is not a JSON object with an `alg`, or
    /// is nested too deep.
    Malformed,
    /// Its `alg` is not the configured one, or it has a `crit`.
    Algorithm,
    /// Its signature is wrong.
    Signature,
    /// Its claims are not a JSON object, or a time is not a number.
    Claims,
    /// Its claims are nested too deep.
    TooDeep,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// It is valid, and has no claim `broadcast`: another kind of token.
    NoScope,
    /// It is valid, and its claim `broadcast` is not an array of strings.
    InvalidScope,
}

impl AuthError {
    /// The label under which it is counted; none for a valid token without a scope.
    pub fn label(self) -> Option<AuthFailure> {
        Some(match self {
            AuthError::Malformed => AuthFailure::Malformed,
            AuthError::Algorithm => AuthFailure::Algorithm,
            AuthError::Signature => AuthFailure::Signature,
            AuthError::Claims => AuthFailure::Claims,
            AuthError::TooDeep => AuthFailure::TooDeep,
            AuthError::Expired => AuthFailure::Expired,
            AuthError::NotYetValid => AuthFailure::NotYetValid,
            AuthError::NoScope | AuthError::InvalidScope => return None,
        })
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            AuthError::Malformed => "token is malformed",
            AuthError::Algorithm => "token has another algorithm, or a crit",
            AuthError::Signature => "token's signature is wrong",
            AuthError::Claims => "token's claims can't be read",
            AuthError::TooDeep => "token's claims are nested too deep",
            AuthError::Expired => "token has expired",
            AuthError::NotYetValid => "token is not valid yet",
            AuthError::NoScope => {
                r#"token allows no channel; it needs a claim "broadcast":["<channel>"]"#
            }
            AuthError::InvalidScope => "token's claim broadcast is not an array of strings",
        })
    }
}

impl std::error::Error for AuthError {}
