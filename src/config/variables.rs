//! What the user gave, before anything is parsed: pairs of a variable and its value.
//!
//! The command line fills them from flags, the environment and the `.env` file.

use std::collections::HashMap;
use std::ffi::OsString;

/// A value, and the name that error messages use for its source: `PORT` or `--port`.
#[derive(Debug, Clone)]
pub struct Given {
    /// The name as the user wrote it.
    pub name: String,
    /// The value, which may be any bytes.
    pub value: OsString,
}

/// The values that were given, by the name of the variable.
pub type Variables = HashMap<&'static str, Given>;
