//! Inputs of the commands beside their arguments: the secret, the server's URL, and stdin,
//! from which only one of them can be read.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, StdinLock};
use std::os::unix::ffi::OsStringExt;

use crate::cli::action::TextSource;
use crate::cli::client::url::Url;
use crate::config::{self, Given, Keys, Variables};

use super::outcome::CommandError;
use super::output;

/// Most that is read from stdin for one message or token, in bytes: far above what a server
/// takes unless configured otherwise.
const MAX_TEXT: u64 = 64 << 20;

/// Stdin, which is read for one thing at most.
#[derive(Debug, Default)]
pub struct Stdin {
    used_for: Option<&'static str>,
}

impl Stdin {
    /// Reserves stdin for one thing; asks for it where stdin is a terminal.
    fn take(&mut self, what: &'static str) -> Result<StdinLock<'static>, CommandError> {
        if let Some(other) = self.used_for.replace(what) {
            return Err(CommandError::Usage(format!(
                "{other} and {what} can't both come from stdin; give one of them otherwise"
            )));
        }
        if io::stdin().is_terminal() {
            output::note(&format!("type {what}, then Enter and Ctrl-D"));
        }
        Ok(io::stdin().lock())
    }

    /// The whole of stdin, without a line break at its end.
    ///
    /// # Errors
    /// When it can't be read, is too long or not UTF-8.
    pub fn text(&mut self, what: &'static str) -> Result<String, CommandError> {
        let mut bytes = Vec::new();
        let mut input = self.take(what)?.take(MAX_TEXT + 1);
        input.read_to_end(&mut bytes).map_err(unreadable)?;
        utf8(bytes, what)
    }

    /// A text from the command line or from stdin.
    ///
    /// # Errors
    /// As for [`Stdin::text`].
    pub fn resolve(
        &mut self,
        text: &TextSource,
        what: &'static str,
    ) -> Result<String, CommandError> {
        match text {
            TextSource::Argument(text) => Ok(text.clone()),
            TextSource::Stdin => self.text(what),
        }
    }

    /// Each line when it arrives, without its line break.
    ///
    /// # Errors
    /// When something else is read from stdin already.
    pub fn lines(
        &mut self,
    ) -> Result<impl Iterator<Item = Result<String, CommandError>> + use<>, CommandError> {
        let mut input = self.take("the lines")?;
        Ok(std::iter::from_fn(move || {
            let mut bytes = Vec::new();
            let mut bounded = (&mut input).take(MAX_TEXT + 1);
            match bounded.read_until(b'\n', &mut bytes) {
                Ok(0) => None,
                Ok(_) => Some(utf8(bytes, "the line")),
                Err(error) => Some(Err(unreadable(error))),
            }
        }))
    }

    /// The secret, as bytes.
    fn secret(&mut self) -> Result<OsString, CommandError> {
        let mut bytes = Vec::new();
        let mut input = self.take("the secret")?.take(MAX_TEXT);
        input.read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(OsString::from_vec(without_line_break(bytes)))
    }
}

/// The secret and the algorithm. The secret is read from stdin where its file is `-`.
///
/// # Errors
/// Those of the server's settings.
pub fn keys(variables: &Variables, stdin: &mut Stdin) -> Result<Keys, CommandError> {
    let file = variables.get("JWT_SECRET_FILE");
    match file.filter(|given| given.value == "-" && !variables.contains_key("JWT_SECRET")) {
        None => Ok(Keys::from_variables(variables)?),
        Some(_) => {
            let secret = Given {
                name: "stdin".into(),
                value: stdin.secret()?,
            };
            let mut variables = variables.clone();
            variables.remove("JWT_SECRET_FILE");
            variables.insert("JWT_SECRET", secret);
            Ok(Keys::from_variables(&variables)?)
        }
    }
}

/// The server's URL: `BIFROST_URL`, or this machine's server with these `HOST` and `PORT`.
///
/// # Errors
/// When one of these is wrong.
pub fn server_url(variables: &Variables) -> Result<Url, CommandError> {
    if let Some(given) = variables.get("BIFROST_URL") {
        let text = given.value.to_string_lossy();
        return Url::parse(text.trim()).map_err(|cure| {
            CommandError::Usage(format!("{} is {text:?}; use {cure}", given.name))
        });
    }
    let (host, port) = config::listen_address(variables)?;
    if port == 0 {
        return Err(CommandError::Usage(
            "PORT is 0, so that the server's port is not known; give --url http://HOST:PORT".into(),
        ));
    }
    Ok(Url::of_server(&host, port))
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String, CommandError> {
    if bytes.len() as u64 > MAX_TEXT {
        let sentence = format!("{what} on stdin is over {MAX_TEXT} bytes");
        return Err(CommandError::Failed(sentence));
    }
    String::from_utf8(without_line_break(bytes))
        .map_err(|_| CommandError::Failed(format!("{what} on stdin is not UTF-8")))
}

fn without_line_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

fn unreadable(error: io::Error) -> CommandError {
    CommandError::system("can't read stdin")(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixtures::variables;

    #[test]
    fn the_server_is_where_its_settings_say() {
        let url = |pairs: &[_]| server_url(&variables(pairs)).unwrap().to_string();
        assert_eq!(url(&[]), "http://127.0.0.1:3000");
        assert_eq!(url(&[("PORT", "8080")]), "http://127.0.0.1:8080");
        assert_eq!(url(&[("HOST", "::")]), "http://[::1]:3000");
        let told = [("BIFROST_URL", "ws://a.example/x"), ("PORT", "80a")];
        assert_eq!(url(&told), "http://a.example/x");
    }

    #[test]
    fn a_wrong_address_of_the_server_is_named() {
        for (name, value) in [("PORT", "80a"), ("PORT", "0"), ("BIFROST_URL", "https://h")] {
            let error = server_url(&variables(&[(name, value)])).unwrap_err();
            assert_eq!(error.code(), 2);
            let sentence = error.to_string();
            assert!(
                sentence.contains(name) && sentence.contains(value),
                "{sentence}"
            );
        }
    }

    #[test]
    fn one_line_break_is_dropped() {
        for (before, after) in [
            ("", ""),
            ("a", "a"),
            ("a\n\n", "a\n"),
            ("a\r\n", "a"),
            ("a\r", "a\r"),
        ] {
            assert_eq!(without_line_break(before.into()), after.as_bytes());
        }
    }
}
