//! What tokens are signed and verified with: the secrets and the algorithm.

use crate::auth::{Algorithm, Secret};
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::setting::{DefaultValue, Effect, Setting, Show};

/// A shorter secret is refused, in bytes: an HMAC key should be as long as the shortest hash
/// that tokens can be signed with (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;
/// A shorter secret draws a warning, in bytes: as long as the longest hash.
pub const GOOD_SECRET: usize = 64;

/// The rows of this file, in the order of the help.
pub const ROWS: &[Setting] = &[
    SECRET,
    Setting {
        variable: "JWT_SECRET_FILE",
        value: "PATH",
        default: DefaultValue::Alternative,
        help: "Read the secret from a file instead; one trailing newline is dropped",
        manual: "Read the secret from a file instead of `JWT_SECRET`; one trailing newline is \
                 dropped",
        effect: Effect::NextToken,
        read: |_, _| Ok(()), // JWT_SECRET reads it
        show: Show::SecretFile(|config| Some(&config.secret)),
    },
    PREVIOUS_SECRET,
    Setting {
        variable: "JWT_SECRET_PREVIOUS_FILE",
        value: "PATH",
        default: DefaultValue::Alternative,
        help: "Read the previous secret from a file instead; an empty file means none",
        manual: "Read the previous secret from a file instead of `JWT_SECRET_PREVIOUS`; an \
                 empty file means none",
        effect: Effect::NextToken,
        read: |_, _| Ok(()), // JWT_SECRET_PREVIOUS reads it
        show: Show::SecretFile(|config| config.previous_secret.as_ref()),
    },
    ALGORITHM,
];

/// The row of the secret, which reads the file of the secret too.
pub const SECRET: Setting = Setting {
    variable: "JWT_SECRET",
    value: "SECRET",
    default: DefaultValue::Required,
    help: "HMAC secret shared with the application, at least 32 bytes, better 64",
    manual: "HMAC secret shared with the application: at least 32 bytes, better 64. White \
             space, quotes or a byte order mark at its ends are part of it, and draw a warning",
    effect: Effect::NextToken,
    read: |reader, config| secret(reader).map(|secret| config.secret = secret),
    show: Show::Secret(|config| Some(&config.secret)),
};

/// The row of the previous secret, which reads its file too.
pub const PREVIOUS_SECRET: Setting = Setting {
    variable: "JWT_SECRET_PREVIOUS",
    value: "SECRET",
    default: DefaultValue::Words("none"),
    help: "The previous secret: tokens that it has signed are accepted too",
    manual: "The previous secret: tokens that it has signed are accepted too, while the secret is \
             rotated. Nothing is signed with it",
    effect: Effect::NextToken,
    read: |reader, config| previous_secret(reader).map(|secret| config.previous_secret = secret),
    show: Show::Secret(|config| config.previous_secret.as_ref()),
};

/// The row of the algorithm, which the commands that sign or verify read alone.
pub const ALGORITHM: Setting = Setting {
    variable: "JWT_ALGORITHM",
    value: "NAME",
    default: DefaultValue::Text("HS512"),
    help: "HS256, HS384 or HS512, the only one accepted",
    manual: "`HS256`, `HS384` or `HS512`: the only algorithm accepted",
    effect: Effect::NextToken,
    read: |reader, config| algorithm(reader).map(|algorithm| config.algorithm = algorithm),
    show: Show::Value(|config| Some(config.algorithm.name().to_owned())),
};

/// The secret, from its variable or its file.
///
/// # Errors
/// When it is missing, too short or given twice, or its file can't be read.
pub fn secret(reader: &Reader<'_>) -> Result<Secret, ConfigError> {
    let Some((name, bytes)) = reader.secret_bytes()? else {
        return Err(ConfigError::Setting(
            "JWT_SECRET is missing; set it, or JWT_SECRET_FILE, to the secret that your \
             application signs with"
                .into(),
        ));
    };
    long_enough(name, bytes)
}

/// The previous secret, or none. An empty file means none: that is how an operator ends a
/// rotation.
///
/// # Errors
/// When it is too short or given twice, or its file can't be read.
pub fn previous_secret(reader: &Reader<'_>) -> Result<Option<Secret>, ConfigError> {
    let given = reader
        .secret_bytes()?
        .filter(|(_, bytes)| !bytes.is_empty());
    given
        .map(|(name, bytes)| long_enough(name, bytes))
        .transpose()
}

/// The algorithm.
///
/// # Errors
/// When it is not one of the three.
pub fn algorithm(reader: &Reader<'_>) -> Result<Algorithm, ConfigError> {
    reader.value("HS256, HS384 or HS512", |text| text.parse().ok())
}

/// The secret, unless it is too short.
fn long_enough(name: &str, bytes: Vec<u8>) -> Result<Secret, ConfigError> {
    let size = bytes.len();
    if size < MIN_SECRET {
        return Err(ConfigError::Setting(format!(
            "{name} has a secret of {size} bytes; use at least {MIN_SECRET}, better {GOOD_SECRET}, \
             for example from `openssl rand -hex 32`"
        )));
    }
    Ok(Secret::new(bytes))
}
