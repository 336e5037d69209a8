//! Every setting's names and help: the one table that the command line is built from.

/// One setting: a variable, and a flag unless it is a secret.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag of `serve` without its dashes.
    pub flag: Option<&'static str>,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// What it does, and what it is when not given.
    pub help: &'static str,
}

const fn setting(
    variable: &'static str,
    flag: Option<&'static str>,
    value: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        flag,
        value,
        help,
    }
}

/// Where the commands that speak to a server find it; the server itself has no use for it.
pub const URL: Setting = setting(
    "BIFROST_URL",
    Some("url"),
    "URL",
    "Where the server is, http:// or ws:// [default: http://127.0.0.1:PORT]",
);

/// Every setting of the server, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    setting(
        "JWT_SECRET",
        None,
        "SECRET",
        "HMAC secret shared with the application, at least 32 bytes, better 64",
    ),
    setting(
        "JWT_SECRET_FILE",
        Some("jwt-secret-file"),
        "PATH",
        "Read the secret from a file instead; one trailing newline is dropped",
    ),
    setting(
        "JWT_SECRET_PREVIOUS",
        None,
        "SECRET",
        "The secret before: tokens that it has signed are taken too [default: none]",
    ),
    setting(
        "JWT_SECRET_PREVIOUS_FILE",
        Some("jwt-secret-previous-file"),
        "PATH",
        "Read the previous secret from a file instead; an empty file means none",
    ),
    setting(
        "JWT_ALGORITHM",
        Some("jwt-algorithm"),
        "NAME",
        "HS256, HS384 or HS512, the only one accepted [default: HS512]",
    ),
    setting(
        "HOST",
        Some("host"),
        "HOST",
        "Address to listen on [default: 0.0.0.0]",
    ),
    setting(
        "PORT",
        Some("port"),
        "PORT",
        "Port to listen on; 0 takes a free one [default: 3000]",
    ),
    setting(
        "BIFROST_METRICS_ADDR",
        Some("metrics-addr"),
        "ADDR:PORT",
        "Listener of its own for Prometheus, at /metrics: 127.0.0.1:9464 [default: off]",
    ),
    setting(
        "BIFROST_MAX_CONNECTIONS",
        Some("max-connections"),
        "COUNT",
        "Open connections, HTTP included [default: what the file limit allows]",
    ),
    setting(
        "BIFROST_MAX_CONNECTIONS_PER_IP",
        Some("max-connections-per-ip"),
        "COUNT",
        "Open connections of one address; of IPv6, of one /64 [default: no limit]",
    ),
    setting(
        "BIFROST_TRUSTED_PROXIES",
        Some("trusted-proxies"),
        "LIST",
        "Proxies whose X-Forwarded-For is believed: addresses, networks [default: none]",
    ),
    setting(
        "BIFROST_MAX_BODY",
        Some("max-body"),
        "SIZE",
        "Largest request body [default: 1MiB]",
    ),
    setting(
        "BIFROST_QUEUE",
        Some("queue"),
        "SIZE",
        "What may wait for one subscriber [default: 1MiB]",
    ),
    setting(
        "BIFROST_QUEUE_TOTAL",
        Some("queue-total"),
        "SIZE",
        "What may wait for all subscribers [default: a quarter of the memory]",
    ),
    setting(
        "BIFROST_PING_INTERVAL",
        Some("ping-interval"),
        "TIME",
        "How often subscribers are pinged; silent for two, they are gone [default: 15s]",
    ),
    setting(
        "BIFROST_AUTH_TIMEOUT",
        Some("auth-timeout"),
        "TIME",
        "From the upgrade to the first good token [default: 10s]",
    ),
    setting(
        "BIFROST_REQUEST_TIMEOUT",
        Some("request-timeout"),
        "TIME",
        "For a request to arrive whole [default: 10s]",
    ),
    setting(
        "BIFROST_IDLE_TIMEOUT",
        Some("idle-timeout"),
        "TIME",
        "For a keep-alive connection between requests [default: 75s]",
    ),
    setting(
        "BIFROST_WRITE_TIMEOUT",
        Some("write-timeout"),
        "TIME",
        "A peer that takes nothing for so long is cut [default: 5s]",
    ),
    setting(
        "BIFROST_DRAIN_TIMEOUT",
        Some("drain-timeout"),
        "TIME",
        "For shutting down [default: 10s]",
    ),
    setting(
        "BIFROST_ALLOWED_ORIGINS",
        Some("allowed-origins"),
        "LIST",
        "Web pages that may subscribe: comma-separated, * as a wildcard [default: any]",
    ),
    setting(
        "BIFROST_LOG",
        Some("log"),
        "LEVEL",
        "error, warn, info or debug; lines go to stderr [default: info]",
    ),
];
