//! `bifrost man`: the man page of the commands, and the manual's pages.

#[cfg(test)]
mod markdown;
mod reference;
mod roff;
#[cfg(test)]
mod tests;

use super::outcome::{CommandError, Status};
use super::output;
use crate::cli::action::ManPage;
use crate::cli::manual;

/// Prints a page (man(7)), or the names of the manual's pages.
///
/// # Errors
/// When it can't be written.
pub fn run(page: &ManPage) -> Result<Status, CommandError> {
    let text = match page {
        ManPage::Commands => {
            reference::page().map_err(CommandError::system("can't make the page"))?
        }
        ManPage::Manual(name) => manual_page(name)?.into(),
        ManPage::List => manual::names().map(|name| format!("{name}\n")).collect(),
    };
    output::print(&text).map(|_| Status::Good)
}

fn manual_page(wanted: &str) -> Result<&'static str, CommandError> {
    let page = manual::PAGES.iter().find(|(name, _)| *name == wanted);
    page.map(|(_, text)| *text).ok_or_else(|| {
        let names = manual::names().collect::<Vec<_>>().join(", ");
        CommandError::Usage(format!("there is no page {wanted:?}; use one of {names}"))
    })
}
