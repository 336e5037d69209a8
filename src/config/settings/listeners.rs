//! The addresses that the server listens on.

use crate::config::error::ConfigError;
use crate::config::listen_address;
use crate::config::reader::Reader;
use crate::config::setting::{DefaultValue, Effect, Setting, Show};

/// The rows of this file, in the order of the help.
pub const ROWS: &[Setting] = &[HOST, PORT, METRICS_ADDR];

/// The row of the host, which the commands that connect to the server read alone.
pub const HOST: Setting = Setting {
    variable: "HOST",
    value: "HOST",
    default: DefaultValue::Text("0.0.0.0"),
    help: "Address to listen on",
    manual: "Address to listen on, an IP address or a host name; `::` for IPv6 and IPv4",
    effect: Effect::Restart(|config, old| config.host.clone_from(&old.host)),
    read: |reader, config| host(reader).map(|host| config.host = host),
    show: Show::Value(|config| Some(config.host.clone())),
};

/// The row of the port, which the commands that connect to the server read alone.
pub const PORT: Setting = Setting {
    variable: "PORT",
    value: "PORT",
    default: DefaultValue::Text("3000"),
    help: "Port to listen on; 0 takes a free one",
    manual: "",
    effect: Effect::Restart(|config, old| config.port = old.port),
    read: |reader, config| port(reader).map(|port| config.port = port),
    show: Show::Value(|config| Some(config.port.to_string())),
};

/// The row of the metrics listener, which may not overlap the main one.
pub const METRICS_ADDR: Setting = Setting {
    variable: "BIFROST_METRICS_ADDR",
    value: "ADDR:PORT",
    default: DefaultValue::Words("off"),
    help: "Second listener, for Prometheus at /metrics, such as 127.0.0.1:9464",
    manual: "A second listener, where Prometheus finds `/metrics`: `127.0.0.1:9464`, \
             `[::1]:9464`; port 0 takes a free one",
    effect: Effect::Restart(|config, old| config.metrics_addr = old.metrics_addr),
    read: |reader, config| {
        let allowed = "an address and a port, such as 127.0.0.1:9464 or [::1]:9464";
        config.metrics_addr = reader.optional(allowed, |text| text.parse().ok())?;
        Ok(())
    },
    show: Show::Value(|config| config.metrics_addr.map(|address| address.to_string())),
};

/// The host to listen on.
///
/// # Errors
/// When it is neither an address nor a name.
pub fn host(reader: &Reader<'_>) -> Result<String, ConfigError> {
    let allowed = "an address such as 127.0.0.1 or ::, or a name";
    let host = reader.value(allowed, |text| Some(text.to_owned()))?;
    if listen_address::is_host(&host) {
        return Ok(host);
    }
    if listen_address::has_port(&host) {
        return Err(ConfigError::Setting(format!(
            "{} is {host:?}, which has a port in it; give that as PORT",
            reader.name()
        )));
    }
    Err(reader.wrong(allowed))
}

/// The port to listen on.
///
/// # Errors
/// When it is no port.
pub fn port(reader: &Reader<'_>) -> Result<u16, ConfigError> {
    reader.value("a number from 0 to 65535", |text| text.parse().ok())
}
