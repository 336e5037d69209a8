//! The settings table: every setting of the server, one row each.
//!
//! A new setting is a row in one of these files and a field of `Config`. The command line, the
//! help, `bifrost check`, a reload and the manual take everything from there.

mod access;
pub mod capacity;
pub mod listeners;
mod logging;
mod timeouts;
pub mod tokens;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::config::setting::{DefaultValue, Effect, Setting, Show};

/// Where the commands that connect to a server find it. The server itself does not read it.
pub const URL: Setting = Setting {
    variable: "BIFROST_URL",
    value: "URL",
    default: DefaultValue::Text("http://127.0.0.1:PORT"),
    help: "Where the server is, http:// or ws://",
    manual: "Where the commands that connect to a server find it, `http://` or `ws://`",
    effect: Effect::Never,
    read: |_, _| Ok(()),
    show: Show::Value(|_| None),
};

/// The rows of each file, in the order of the help.
const GROUPS: [&[Setting]; 6] = [
    tokens::ROWS,
    listeners::ROWS,
    capacity::ROWS,
    timeouts::ROWS,
    access::ROWS,
    logging::ROWS,
];

/// Every setting of the server, in the order of the help.
pub const SETTINGS: &[Setting] = &joined::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
}

/// The rows of all groups, put together by the compiler.
const fn joined<const COUNT: usize>() -> [Setting; COUNT] {
    let mut all = [URL; COUNT]; // each is overwritten
    let (mut next, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            all[next] = GROUPS[group][row];
            next += 1;
            row += 1;
        }
        group += 1;
    }
    all
}

/// The flags by variable, each named by the one rule for all of them.
static FLAGS: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let flag = |setting: &Setting| {
        let variable = setting.variable;
        let name = variable.strip_prefix("BIFROST_").unwrap_or(variable);
        (variable, name.to_lowercase().replace('_', "-"))
    };
    SETTINGS.iter().chain([&URL]).map(flag).collect()
});

impl Setting {
    /// The flag of `serve` without its dashes: the variable in lower case without `BIFROST_`.
    /// A secret has none, since other users of the machine can see a command's arguments.
    pub fn flag(&self) -> Option<&'static str> {
        if matches!(self.show, Show::Secret(_)) {
            return None;
        }
        FLAGS.get(self.variable).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::fixtures::variables;

    #[test]
    fn every_setting_shows_a_value_and_no_secret() {
        let secret = "0123456789abcdef0123456789abcdef";
        let previous = "fedcba9876543210fedcba9876543210fed";
        let given = [("JWT_SECRET", secret), ("JWT_SECRET_PREVIOUS", previous)];
        let config = Config::from_variables(&variables(&given)).unwrap();
        for setting in SETTINGS {
            let value = setting.value_in(&config);
            assert!(!value.is_empty() && !value.contains(secret), "{value}");
            assert!(!value.contains(previous), "{value}");
            if setting.variable.starts_with("JWT_SECRET_PREVIOUS") {
                assert_eq!(value, "a secret of 35 bytes");
            }
        }
    }

    #[test]
    fn a_setting_that_is_not_given_shows_its_default() {
        let secret = [("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
        let config = Config::from_variables(&variables(&secret)).unwrap();
        let is_computed = |row: &&Setting| row.variable.ends_with("_TOTAL");
        for setting in SETTINGS.iter().filter(|row| !is_computed(row)) {
            if let Some(default) = setting.default.text() {
                assert_eq!(setting.value_in(&config), default, "{}", setting.variable);
            }
        }
    }

    #[test]
    fn every_flag_is_its_variable_in_lower_case_and_secrets_have_none() {
        let flag = |variable: &str| {
            let mut all = SETTINGS.iter().chain([&URL]);
            all.find(|row| row.variable == variable).unwrap().flag()
        };
        assert_eq!(flag("PORT"), Some("port"));
        assert_eq!(flag("JWT_ALGORITHM"), Some("jwt-algorithm"));
        assert_eq!(flag("BIFROST_METRICS_ADDR"), Some("metrics-addr"));
        assert_eq!(flag("BIFROST_URL"), Some("url"));
        assert_eq!(flag("JWT_SECRET"), None);
        assert_eq!(flag("JWT_SECRET_PREVIOUS"), None);
        assert_eq!(flag("JWT_SECRET_FILE"), Some("jwt-secret-file"));
    }

    #[test]
    fn every_secret_has_a_row_for_its_file() {
        for setting in SETTINGS {
            let file = format!("{}_FILE", setting.variable);
            let has_file = SETTINGS
                .iter()
                .any(|row| row.variable == file && row.is_secret_file());
            let is_secret = setting.is_secret() && !setting.is_secret_file();
            assert_eq!(has_file, is_secret, "{}", setting.variable);
        }
    }
}
