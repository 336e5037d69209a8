//! Which web pages may subscribe.

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::setting::{DefaultValue, Effect, Setting, Show};
use crate::http::origin::Origins;

/// The rows of this file.
pub const ROWS: &[Setting] = &[Setting {
    variable: "BIFROST_ALLOWED_ORIGINS",
    value: "LIST",
    default: DefaultValue::Words("any"),
    help: "Web pages that may subscribe: comma-separated, * as a wildcard",
    manual: "Web pages that may subscribe: comma-separated origins, `*` as a wildcard, such \
                 as `https://app.example.com, https://*.example.com`. A `/` at the end and the \
                 scheme's own port don't count; hosts are written in punycode",
    effect: Effect::NewConnections,
    read: |reader, config| origins(reader).map(|origins| config.allowed_origins = origins),
    show: Show::Value(|config| config.allowed_origins.as_ref().map(ToString::to_string)),
}];

fn origins(reader: &Reader<'_>) -> Result<Option<Origins>, ConfigError> {
    let list = reader.text()?.unwrap_or_default();
    if list.is_empty() {
        return Ok(None);
    }
    let name = reader.name();
    let origins = Origins::parse(list)
        .map_err(|error| ConfigError::Setting(format!("{name} has {error}")))?;
    // A list of commas alone was meant to have origins in it: allowing any would be too much.
    if origins.is_empty() {
        return Err(ConfigError::Setting(format!(
            "{name} is {list:?}, which has no origin in it; leave it empty to allow any"
        )));
    }
    Ok(Some(origins))
}
