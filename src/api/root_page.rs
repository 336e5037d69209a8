//! The page at `/`.

use super::demo::Demo;
use crate::auth::{Algorithm, Secret};
use crate::http::{Head, Response};

/// What is at `/`.
#[derive(Debug, Clone)]
pub enum RootPage {
    /// A page that says what this is, and that it is up.
    Welcome,
    /// The demonstration.
    Demo(Demo),
}

impl RootPage {
    /// The same page; the demonstration signs with this secret from now on.
    #[must_use]
    pub fn with_secret(&self, secret: &Secret, algorithm: Algorithm) -> RootPage {
        match self {
            RootPage::Welcome => RootPage::Welcome,
            RootPage::Demo(demo) => RootPage::Demo(demo.with_secret(secret, algorithm)),
        }
    }

    /// The page, or why this request can't have it.
    pub fn page(&self, head: &Head) -> Response {
        match self {
            RootPage::Welcome => Response::page(include_str!("assets/welcome.html")),
            RootPage::Demo(demo) => demo.page(head).unwrap_or_else(Response::from),
        }
    }
}
