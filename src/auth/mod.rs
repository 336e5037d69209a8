//! JSON Web Tokens: verifying, reading the claims, signing (RFC 7515, RFC 7519).
//!
//! Tokens are verified and signed only here. [`Verifier`] checks a token and gives its [`Claims`];
//! [`PublishScope`] says to which channels a publisher's token may send; [`sign()`] is for the
//! commands and the demonstration, which sign as an application does.

mod error;
mod mac;
mod provider;
mod publish_scope;
mod sign;
mod verify;

pub use error::AuthError;
pub use mac::{Algorithm, Secret};
pub use publish_scope::PublishScope;
pub use sign::sign;
pub use verify::{Claims, JoseHeader, Verified, Verifier, decode_part};
