//! The HTTP routes, a file or folder each.
//!
//! [`answer`] finds the route of a request (`routes`):
//!
//! * `POST /broadcast` ([`broadcast`]): the token is verified, and the message handed to the hub,
//!   whose channel pushes it to the send queue of each subscriber.
//! * `GET /subscribe` ([`subscribe`]): the handshake; then a session authenticates, joins channels,
//!   and waits in a thread of its own.
//! * The rest: [`admin`] (`/info.json`, `/healthz`, `/readyz`), the page at `/` ([`root_page`],
//!   [`demo`]), and [`metrics`], which is a listener of its own.
//!
//! Handlers are given [`Services`], which live as long as the process, and the [`RuntimeConfig`]
//! that was in force when the request was complete.

pub mod admin;
pub mod broadcast;
pub mod demo;
pub mod metrics;
pub mod root_page;
mod routes;
pub mod runtime_config;
pub mod services;
pub mod subscribe;
mod token_limit;

pub use root_page::RootPage;
pub use routes::answer;
pub use runtime_config::{CurrentConfig, RuntimeConfig, SubscriberConfig};
pub use services::Services;
pub use subscribe::Subscriber;
pub use token_limit::PerTokenLimit;
