//! One row of the settings table: everything there is to know about one setting.

use crate::auth::Secret;
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::values::Config;
use crate::config::variables::Variables;

/// One setting: a variable, and a flag unless it is a secret.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The placeholder for the value in the help, such as `PORT`.
    pub value: &'static str,
    /// What applies when it is not given.
    pub default: DefaultValue,
    /// What it does, in one line of `--help`, without the default.
    pub help: &'static str,
    /// What it does, in the manual. Empty where the line of `--help` says enough.
    pub manual: &'static str,
    /// When a change of it takes effect.
    pub effect: Effect,
    /// Reads it into its field of the configuration.
    pub read: fn(&Reader<'_>, &mut Config) -> Result<(), ConfigError>,
    /// Shows its value.
    pub show: Show,
}

/// What applies when a setting is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, which is parsed like one that was given.
    Text(&'static str),
    /// What these words say: `no limit`. The setting's reader implements it.
    Words(&'static str),
    /// The server does not start without it.
    Required,
    /// Another setting, which this one is an alternative to.
    Alternative,
}

impl DefaultValue {
    /// As a value or in words; nothing where there is no default.
    pub fn text(self) -> Option<&'static str> {
        match self {
            DefaultValue::Text(text) | DefaultValue::Words(text) => Some(text),
            DefaultValue::Required | DefaultValue::Alternative => None,
        }
    }
}

/// When a change of a setting takes effect after a reload.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// With the next token that is verified.
    NextToken,
    /// For connections that are opened from now on.
    NewConnections,
    /// For the next HTTP request, on every connection.
    NextRequest,
    /// For subscribers that come from now on.
    NewSubscribers,
    /// For subscribers that come from now on, and the next HTTP request.
    NewSubscribersAndNextRequest,
    /// For everything, as soon as it is reloaded.
    AtOnce,
    /// After a restart. The function copies the value in force, that of the second
    /// configuration, to the first.
    Restart(fn(&mut Config, &Config)),
    /// Never: the server does not read it.
    Never,
}

/// How a setting is shown: by `bifrost check`, and in the log after a reload.
#[derive(Debug, Clone, Copy)]
pub enum Show {
    /// The value as one would write it, or nothing where the default's words apply.
    Value(fn(&Config) -> Option<String>),
    /// The length of the secret that the variable holds.
    Secret(fn(&Config) -> Option<&Secret>),
    /// The length of the secret in the file that the variable names.
    SecretFile(fn(&Config) -> Option<&Secret>),
}

impl Setting {
    /// The line for `--help`.
    pub fn help_line(&self) -> String {
        self.default.text().map_or_else(
            || self.help.to_owned(),
            |default| format!("{} [default: {default}]", self.help),
        )
    }

    /// Whether its value is a secret, or the path of a file that holds one.
    pub fn is_secret(&self) -> bool {
        !matches!(self.show, Show::Value(_))
    }

    /// Whether its value is the path of a file that holds a secret.
    pub fn is_secret_file(&self) -> bool {
        matches!(self.show, Show::SecretFile(_))
    }

    /// Whether a change of it needs a restart.
    pub fn needs_restart(&self) -> bool {
        matches!(self.effect, Effect::Restart(_))
    }

    /// The value in `config` as one would write it; of a secret only its length.
    pub fn value_in(&self, config: &Config) -> String {
        match self.show {
            Show::Value(show) => {
                let default = || self.default.text().unwrap_or_default().to_owned();
                show(config).unwrap_or_else(default)
            }
            Show::Secret(secret) | Show::SecretFile(secret) => secret(config).map_or_else(
                || "none".to_owned(),
                |secret| format!("a secret of {} bytes", secret.size()),
            ),
        }
    }

    /// The reader of this setting, for the values that were given.
    pub fn reader<'a>(&self, variables: &'a Variables) -> Reader<'a> {
        let default = match self.default {
            DefaultValue::Text(text) => Some(text),
            _ => None,
        };
        Reader::new(variables, self.variable, default)
    }
}
