//! The manual's page about the settings, `src/manual/settings.md`, written from the table.
//!
//! A test compares the file with it, and rewrites the file when it is asked to.

use crate::config::reader::{COUNT, DURATION, SIZE};
use crate::config::setting::{DefaultValue, Effect, Setting};
use crate::config::settings::{SETTINGS, URL};

/// The file, from the root of the repository.
const FILE: &str = "src/manual/settings.md";
/// Set to anything, it makes the test rewrite the file.
const UPDATE: &str = "BIFROST_UPDATE_MANUAL";

const TITLE: &str = "# bifrost-settings: every setting, its default and what it does";

const SOURCES: &str = "\
Each setting is an environment variable, and a flag of `bifrost serve` unless it is a secret:
other users of a machine can read the arguments of its processes. A value is taken from the first
of these that has one:

1. the flag, such as `--port 8080`
2. the environment, such as `PORT=8080`
3. a file named `.env` in the working directory, with a line such as `PORT=8080`

An empty value counts as none. In the `.env` file, a value with spaces or a `$` goes between single
quotes. A name that begins with `BIFROST_` and is not a setting draws a warning. A secret is given
either in its variable or in a file; both at once are an error, but the flag for the file wins over
the variable.

`bifrost check` prints the value of each setting and where it comes from, without starting a server.
When a setting is wrong, the server does not start: it names the setting and what it may be, and
exits with status 2, or with status 1 when a file can't be read. The other commands read only the
settings that they need.";

const RELOAD: &str = "\
On SIGHUP the server reads the `.env` file and the files of the secrets again. Flags and the
environment stay as they were at the start, and still win. All settings are checked as at the start.
If one is wrong, nothing changes, and a line in the log says what is wrong. Otherwise all changes
are put into force together, and a line in the log names them. No connection is closed by a reload.
When a change takes effect depends on the setting:";

const HANGUP: &str = "\
A server that runs in the foreground of a terminal stops when that terminal is closed, although the
terminal sends SIGHUP too.";

/// The whole page.
fn page() -> String {
    let parts = [
        TITLE.to_owned(),
        SOURCES.to_owned(),
        format!("## Units\n\n{}", units()),
        format!("## All settings\n\n{}", all_settings()),
        format!("## Reload\n\n{RELOAD}\n\n{}\n\n{HANGUP}", effects()),
    ];
    parts.join("\n\n") + "\n"
}

fn units() -> String {
    let rows = [
        format!("| `TIME` | {DURATION}; a number without a unit is in seconds |"),
        format!(
            "| `SIZE` | {SIZE}; a number without a unit is in bytes; `k`, `M` and `G` are `KiB`, \
             `MiB` and `GiB` |"
        ),
        format!("| `COUNT` | {COUNT} |"),
        "| `LIST` | entries separated by commas; spaces around a comma are ignored |".to_owned(),
    ];
    format!(
        "| value | what it may be |\n| --- | --- |\n{}",
        rows.join("\n")
    )
}

fn all_settings() -> String {
    let mut server: Vec<&Setting> = SETTINGS.iter().collect();
    server.push(&URL);
    let rows: Vec<String> = server.into_iter().map(row).collect();
    format!(
        "| variable | flag | default | what it does |\n| --- | --- | --- | --- |\n{}",
        rows.join("\n")
    )
}

fn row(setting: &Setting) -> String {
    let flag = setting.flag();
    let flag = flag.map_or_else(String::new, |flag| format!("`--{flag} {}`", setting.value));
    let default = match setting.default {
        DefaultValue::Text(text) => format!("`{text}`"),
        DefaultValue::Words(words) => words.to_owned(),
        DefaultValue::Required => "required".to_owned(),
        DefaultValue::Alternative => String::new(),
    };
    let what = if setting.manual.is_empty() {
        setting.help
    } else {
        setting.manual
    };
    format!("| `{}` | {flag} | {default} | {what} |", setting.variable)
}

/// One line for each effect, with the settings that have it.
fn effects() -> String {
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for setting in SETTINGS.iter().chain([&URL]) {
        let text = effect(setting.effect);
        let name = format!("`{}`", setting.variable);
        match lines.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => lines.push((text, vec![name])),
        }
    }
    let rows: Vec<String> = lines
        .into_iter()
        .map(|(text, names)| format!("| {} | {text} |", names.join(", ")))
        .collect();
    format!(
        "| settings | a change takes effect |\n| --- | --- |\n{}",
        rows.join("\n")
    )
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::NextToken => {
            "with the next request on every connection, and the next token that a subscriber \
             shows; subscribers stay subscribed"
        }
        Effect::NewConnections => "for new connections; open ones stay open, and count",
        Effect::NextRequest => "with the next request on every connection",
        Effect::NewSubscribers => "for new subscribers; the others keep the old value",
        Effect::NewSubscribersAndNextRequest => {
            "for new subscribers, and with the next request of plain HTTP"
        }
        Effect::AtOnce => "at once, for everything",
        Effect::Restart(_) => "after a restart; until then the log says `needs_restart`",
        Effect::Never => "never in the server, which does not read it",
    }
}

#[test]
fn settings_page_of_the_manual_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, page()).expect("the file can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "{FILE} differs from the settings table; run `make manual`, which is \
         `{UPDATE}=1 cargo test --lib settings_page`, and commit the file"
    );
}

#[test]
fn table_cells_of_the_settings_page_have_no_separator_in_them() {
    for setting in SETTINGS.iter().chain([&URL]) {
        let texts = [setting.help, setting.manual, setting.value];
        assert!(
            !texts.concat().contains(['|', '\n']),
            "{}",
            setting.variable
        );
    }
}
