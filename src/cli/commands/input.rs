//! What the commands are given beside their arguments: the secret, the server's place, and
//! stdin, which only one thing can come from.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, StdinLock};
use std::os::unix::ffi::OsStringExt;

use crate::cli::Text;
use crate::cli::client::Url;
use crate::config::{self, Given, Keys, Variables};

use super::{Failure, output};

/// Most that is read from stdin for one message or token, in bytes: far above what a server
/// takes unless configured otherwise.
const MAX_TEXT: u64 = 64 << 20;

/// Stdin, and what it was used for.
#[derive(Debug, Default)]
pub struct Stdin {
    used_for: Option<&'static str>,
}

impl Stdin {
    /// Stdin, for the one thing that comes from it.
    fn take(&mut self, what: &'static str) -> Result<StdinLock<'static>, Failure> {
        if let Some(other) = self.used_for.replace(what) {
            return Err(Failure::Usage(format!(
                "{other} and {what} can't both come from stdin; give one of them otherwise"
            )));
        }
        if io::stdin().is_terminal() {
            output::note(&format!("type {what}, then Enter and Ctrl-D"));
        }
        Ok(io::stdin().lock())
    }

    /// Everything, but for a line break at the end.
    ///
    /// # Errors
    /// When it can't be read, is too long or not UTF-8.
    pub fn text(&mut self, what: &'static str) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let mut input = self.take(what)?.take(MAX_TEXT + 1);
        input.read_to_end(&mut bytes).map_err(unreadable)?;
        utf8(bytes, what)
    }

    /// A text that was given, or is on stdin.
    ///
    /// # Errors
    /// As for [`Stdin::text`].
    pub fn resolve(&mut self, text: &Text, what: &'static str) -> Result<String, Failure> {
        match text {
            Text::Given(text) => Ok(text.clone()),
            Text::Stdin => self.text(what),
        }
    }

    /// Every line as it comes, without its line break.
    ///
    /// # Errors
    /// When something else has come from stdin.
    pub fn lines(
        &mut self,
    ) -> Result<impl Iterator<Item = Result<String, Failure>> + use<>, Failure> {
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
    fn secret(&mut self) -> Result<OsString, Failure> {
        let mut bytes = Vec::new();
        let mut input = self.take("the secret")?.take(MAX_TEXT);
        input.read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(OsString::from_vec(without_line_break(bytes)))
    }
}

/// The secret and the algorithm; the file `-` is stdin.
///
/// # Errors
/// As the server would say it.
pub fn keys(variables: &Variables, stdin: &mut Stdin) -> Result<Keys, Failure> {
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

/// Where the server is: as told, or where one with our HOST and PORT is on this machine.
///
/// # Errors
/// When one of these is wrong.
pub fn server_url(variables: &Variables) -> Result<Url, Failure> {
    if let Some(given) = variables.get("BIFROST_URL") {
        let text = given.value.to_string_lossy();
        return Url::parse(text.trim())
            .map_err(|cure| Failure::Usage(format!("{} is {text:?}; use {cure}", given.name)));
    }
    let (host, port) = config::listen_address(variables)?;
    if port == 0 {
        return Err(Failure::Usage(
            "PORT is 0, so that the server's port is not known; give --url http://HOST:PORT".into(),
        ));
    }
    Ok(Url::of_server(&host, port))
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String, Failure> {
    if bytes.len() as u64 > MAX_TEXT {
        let sentence = format!("{what} on stdin is over {MAX_TEXT} bytes");
        return Err(Failure::Failed(sentence));
    }
    String::from_utf8(without_line_break(bytes))
        .map_err(|_| Failure::Failed(format!("{what} on stdin is not UTF-8")))
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

fn unreadable(error: io::Error) -> Failure {
    Failure::system("can't read stdin")(error)
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
    fn a_place_that_is_none_is_named() {
        for (name, value) in [("PORT", "80a"), ("PORT", "0"), ("BIFROST_URL", "https://h")] {
            let failure = server_url(&variables(&[(name, value)])).unwrap_err();
            assert_eq!(failure.code(), 2);
            let sentence = failure.to_string();
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
