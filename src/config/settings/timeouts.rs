//! The time limits of connections, and of shutting down.

use crate::config::setting::{DefaultValue, Effect, Setting, Show};
use crate::config::units;

/// The rows of this file, in the order of the help.
pub const ROWS: &[Setting] = &[
    Setting {
        variable: "BIFROST_PING_INTERVAL",
        value: "TIME",
        default: DefaultValue::Text("15s"),
        help: "How often subscribers are pinged; after two silent intervals they are cut",
        manual: "How often subscribers are pinged; one that is silent for two intervals is \
                 disconnected",
        effect: Effect::NewSubscribers,
        read: |reader, config| {
            reader
                .duration()
                .map(|time| config.timeouts.ping_interval = time)
        },
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.ping_interval))),
    },
    Setting {
        variable: "BIFROST_AUTH_TIMEOUT",
        value: "TIME",
        default: DefaultValue::Text("10s"),
        help: "Longest time from the upgrade to the first good token",
        manual: "Longest time from the upgrade to the first good token",
        effect: Effect::NewSubscribers,
        read: |reader, config| reader.duration().map(|time| config.timeouts.auth = time),
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.auth))),
    },
    Setting {
        variable: "BIFROST_REQUEST_TIMEOUT",
        value: "TIME",
        default: DefaultValue::Text("10s"),
        help: "Longest time for a request to arrive whole",
        manual: "Longest time for a request to arrive whole",
        effect: Effect::NextRequest,
        read: |reader, config| reader.duration().map(|time| config.timeouts.request = time),
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.request))),
    },
    Setting {
        variable: "BIFROST_IDLE_TIMEOUT",
        value: "TIME",
        default: DefaultValue::Text("75s"),
        help: "Longest time between two requests on a connection",
        manual: "Longest time that a keep-alive connection is open between two requests",
        effect: Effect::NextRequest,
        read: |reader, config| reader.duration().map(|time| config.timeouts.idle = time),
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.idle))),
    },
    Setting {
        variable: "BIFROST_WRITE_TIMEOUT",
        value: "TIME",
        default: DefaultValue::Text("5s"),
        help: "A peer that takes no bytes for this long is cut",
        manual: "A peer that takes nothing for so long is disconnected",
        effect: Effect::NewSubscribersAndNextRequest,
        read: |reader, config| reader.duration().map(|time| config.timeouts.write = time),
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.write))),
    },
    Setting {
        variable: "BIFROST_DRAIN_TIMEOUT",
        value: "TIME",
        default: DefaultValue::Text("10s"),
        help: "Longest time for shutting down",
        manual: "Longest time for shutting down",
        effect: Effect::AtOnce,
        read: |reader, config| reader.duration().map(|time| config.timeouts.drain = time),
        show: Show::Value(|config| Some(units::duration_text(config.timeouts.drain))),
    },
];
