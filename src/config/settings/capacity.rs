//! How many connections there may be, and how much memory they may take.

use crate::config::available_memory;
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::setting::{DefaultValue, Effect, Setting, Show};
use crate::config::units;
use crate::net::networks::Networks;

/// The rows of this file, in the order of the help.
pub const ROWS: &[Setting] = &[
    Setting {
        variable: "BIFROST_MAX_CONNECTIONS",
        value: "COUNT",
        default: DefaultValue::Words("what files and threads allow"),
        help: "Open connections, HTTP included",
        manual: "Open connections, HTTP included; 16 more are reserved for plain HTTP",
        effect: Effect::NewConnections,
        read: |reader, config| {
            reader
                .optional_count()
                .map(|count| config.max_connections = count)
        },
        show: Show::Value(|config| config.max_connections.map(|count| count.to_string())),
    },
    Setting {
        variable: "BIFROST_MAX_CONNECTIONS_PER_IP",
        value: "COUNT",
        default: DefaultValue::Words("no limit"),
        help: "Open connections of one address; of IPv6, of one /64",
        manual: "Open connections of one IPv4 address, or of one /64 network of IPv6",
        effect: Effect::NewConnections,
        read: |reader, config| {
            reader
                .optional_count()
                .map(|count| config.max_connections_per_ip = count)
        },
        show: Show::Value(|config| config.max_connections_per_ip.map(|count| count.to_string())),
    },
    Setting {
        variable: "BIFROST_MAX_CONNECTIONS_PER_TOKEN",
        value: "COUNT",
        default: DefaultValue::Words("no limit"),
        help: "Open subscribers whose token has the same sub, or is the same",
        manual: "Open subscribers whose token has the same claim `sub`, or, without one, is the \
                 same; past it, another one is disconnected with close code 1008",
        effect: Effect::NewSubscribers,
        read: |reader, config| {
            reader
                .optional_count()
                .map(|count| config.max_connections_per_token = count)
        },
        show: Show::Value(|config| {
            config
                .max_connections_per_token
                .map(|count| count.to_string())
        }),
    },
    Setting {
        variable: "BIFROST_TRUSTED_PROXIES",
        value: "LIST",
        default: DefaultValue::Words("none"),
        help: "Proxies whose X-Forwarded-For is believed: addresses, networks",
        manual: "Proxies whose `X-Forwarded-For` (or `Forwarded`) header is believed: addresses \
                 and networks, such as `127.0.0.1, 10.0.0.0/8`",
        effect: Effect::NewConnections,
        read: |reader, config| {
            trusted_proxies(reader).map(|proxies| config.trusted_proxies = proxies)
        },
        show: Show::Value(|config| Some(config.trusted_proxies.to_string())),
    },
    MAX_BODY,
    Setting {
        variable: "BIFROST_INPUT_TOTAL",
        value: "SIZE",
        default: DefaultValue::Words("an eighth of the memory"),
        help: "Bytes that may arrive from all clients at the same time",
        manual: "What requests and messages of all clients may take together while they arrive and \
                 are handled; past it, what comes next gets 503. The first 8 KiB of each connection \
                 don't count, and the last quarter is for those under 64 KiB",
        effect: Effect::AtOnce,
        read: |reader, config| {
            let size = reader.optional_size()?;
            config.input_total = size.unwrap_or_else(|| available_memory::bytes() / 8);
            Ok(())
        },
        show: Show::Value(|config| Some(units::size_text(config.input_total))),
    },
    Setting {
        variable: "BIFROST_QUEUE",
        value: "SIZE",
        default: DefaultValue::Text("1MiB"),
        help: "Bytes that may wait for one subscriber",
        manual: "What may wait for one subscriber that reads slowly; past it, the subscriber is \
                 disconnected with close code 1013",
        effect: Effect::NewSubscribers,
        read: |reader, config| reader.size().map(|size| config.queue = size),
        show: Show::Value(|config| Some(units::size_text(config.queue))),
    },
    Setting {
        variable: "BIFROST_QUEUE_TOTAL",
        value: "SIZE",
        default: DefaultValue::Words("a quarter of the memory"),
        help: "Bytes that may wait for all subscribers together",
        manual: "What may wait for all subscribers together; past it, those with the most \
                 waiting are disconnected. The memory is the machine's, or the limit of the \
                 control group",
        effect: Effect::AtOnce,
        read: |reader, config| queue_total(reader).map(|size| config.queue_total = size),
        show: Show::Value(|config| Some(units::size_text(config.queue_total))),
    },
];

/// The row of the largest body, which `bifrost token inspect` reads alone.
pub const MAX_BODY: Setting = Setting {
    variable: "BIFROST_MAX_BODY",
    value: "SIZE",
    default: DefaultValue::Text("1MiB"),
    help: "Largest request body",
    manual: "",
    effect: Effect::NextRequest,
    read: |reader, config| reader.size().map(|size| config.max_body = size),
    show: Show::Value(|config| Some(units::size_text(config.max_body))),
};

fn trusted_proxies(reader: &Reader<'_>) -> Result<Networks, ConfigError> {
    let list = reader.text()?.unwrap_or_default();
    Networks::parse(list).map_err(|entry| {
        ConfigError::Setting(format!(
            "{} has {entry:?}; use addresses and networks such as 127.0.0.1, 10.0.0.0/8",
            reader.name()
        ))
    })
}

fn queue_total(reader: &Reader<'_>) -> Result<usize, ConfigError> {
    let size = reader.optional_size()?;
    Ok(size.unwrap_or_else(|| available_memory::bytes() / 4))
}
