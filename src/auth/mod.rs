//! JSON Web Tokens: verifying, reading the claims, signing (RFC 7515, RFC 7519).
//!
//! The only room that knows JWT. [`Verifier`] checks a token and gives its [`Claims`];
//! [`PublishScope`] says to which channels a publisher's token may send; [`sign()`] is for the
//! commands and the demonstration, which play the application's part.

mod error;
mod mac;
mod provider;
mod publish_scope;
mod sign;
mod token;

pub use error::AuthError;
pub use mac::{Algorithm, Secret};
pub use publish_scope::PublishScope;
pub use sign::sign;
pub use token::{Claims, JoseHeader, Verified, Verifier, decode_part};
