//! `bifrost.1`: one page for all commands, made from the same table as the help.
//!
//! clap_mangen writes a page per command; here its sections go under a heading per
//! command, and the text below the help keeps its line breaks.

use std::io;

use clap::Command;
use clap_mangen::Man;

use super::roff::{self, lines};
use crate::cli::manual;
use crate::cli::table;

/// No date: it would be that of the build. `Aq` is the apostrophe in what clap_mangen writes.
const TITLE: &str = concat!(
    ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n",
    ".TH BIFROST 1 \"\" \"bifrost ",
    env!("CARGO_PKG_VERSION"),
    "\" \"User Commands\"\n",
);

/// The page.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn page() -> io::Result<String> {
    let mut bifrost = table::command();
    bifrost.build();
    let man = Man::new(bifrost.clone());
    let mut page = String::from(TITLE);
    page += &section(|out| man.render_name_section(out))?;
    page += &section(|out| man.render_synopsis_section(out))?;
    page += &section(|out| man.render_options_section(out))?;
    page += ".SH NOTES\n";
    page += &after_help(&bifrost);
    for command in bifrost.get_subcommands() {
        page += &of_command(command)?;
    }
    Ok(page + &see_also())
}

fn see_also() -> String {
    let pages: Vec<String> = manual::names().map(roff::reference).collect();
    format!(".SH SEE ALSO\n{}\n", pages.join(",\n"))
}

/// A command and those below it, each under a heading of its own.
fn of_command(command: &Command) -> io::Result<String> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = format!(
        ".SH {}\n{}",
        roff::argument(&name.to_uppercase()),
        lines(&about)
    );
    let man = Man::new(command.clone());
    text += &below(&section(|out| man.render_synopsis_section(out))?);
    // The settings stand at the top already.
    if command.get_arguments().any(|arg| arg.get_id() == "PORT") {
        text += ".SS OPTIONS\nThose of \\fBbifrost\\fR, above.\n";
    } else {
        text += &below(&section(|out| man.render_options_section(out))?);
    }
    text += ".SS NOTES\n";
    text += &after_help(command);
    for inner in command.get_subcommands() {
        text += &of_command(inner)?;
    }
    Ok(text)
}

/// A section without the definitions before it, which stand at the page's top.
fn section(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(match text.find(".SH ") {
        Some(start) => text[start..].into(),
        None => String::new(),
    })
}

/// Sections become parts of one.
fn below(section: &str) -> String {
    section
        .replace("\n.SH ", "\n.SS ")
        .replacen(".SH ", ".SS ", 1)
}

/// What stands below the help: text flows, examples keep their line breaks.
fn after_help(command: &Command) -> String {
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let parts = text
        .split("\n\n")
        .map(|part| match part.strip_prefix("Examples:\n") {
            Some(examples) => format!(".PP\nExamples:\n.PP\n.nf\n{}.fi\n", lines(examples)),
            None => format!(".PP\n{}", lines(part)),
        });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_heading() {
        let page = page().unwrap();
        assert!(page.is_ascii() && page.contains("\n.TH BIFROST 1 \"\" "));
        for heading in ["BIFROST SERVE", "BIFROST TOKEN INSPECT", "BIFROST MAN"] {
            assert!(
                page.contains(&format!("\n.SH \"{heading}\"\n")),
                "{heading}"
            );
        }
    }
}
