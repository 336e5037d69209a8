//! What is logged.

use log::LevelFilter;

use crate::config::setting::{DefaultValue, Effect, Setting, Show};

/// The rows of this file.
pub const ROWS: &[Setting] = &[Setting {
    variable: "BIFROST_LOG",
    value: "LEVEL",
    default: DefaultValue::Text("info"),
    help: "error, warn, info or debug; lines go to stderr",
    manual: "The least severe lines that are logged: `error`, `warn`, `info` or `debug`. \
                 They go to stderr",
    effect: Effect::AtOnce,
    read: |reader, config| {
        config.log = reader.value("error, warn, info or debug", level)?;
        Ok(())
    },
    show: Show::Value(|config| Some(config.log.as_str().to_lowercase())),
}];

fn level(name: &str) -> Option<LevelFilter> {
    match name {
        "error" => Some(LevelFilter::Error),
        "warn" => Some(LevelFilter::Warn),
        "info" => Some(LevelFilter::Info),
        "debug" => Some(LevelFilter::Debug),
        _ => None,
    }
}
