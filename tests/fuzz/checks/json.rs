//! JSON objects parsed in another way than the server does: all entries as written, in order,
//! including duplicate keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The entries of one object.
pub struct Object<'a>(Vec<(String, &'a str)>);

/// How often an object contains a key.
pub enum Entry<'a> {
    /// Not at all, or with `null`.
    Absent,
    /// Once, with this value as text.
    Once(&'a str),
    /// Several times, which the server rejects.
    Repeated,
}

impl<'a> Object<'a> {
    /// Parses an object, if the text is one.
    pub fn read(text: &'a str) -> Option<Object<'a>> {
        serde_json::from_str(text).ok()
    }

    /// Finds an entry.
    pub fn find(&self, key: &str) -> Entry<'a> {
        let mut found = self.0.iter().filter(|(name, _)| name == key);
        match (found.next(), found.next()) {
            (_, Some(_)) => Entry::Repeated,
            (None, None) => Entry::Absent,
            (Some((_, "null")), None) => Entry::Absent,
            (Some((_, text)), None) => Entry::Once(text),
        }
    }

    /// Whether a key is there, with any value.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    /// Whether one of these keys is there several times.
    pub fn repeats_any(&self, keys: &[&str]) -> bool {
        keys.iter()
            .any(|key| matches!(self.find(key), Entry::Repeated))
    }

    /// The value of an entry that is there once.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        match self.find(key) {
            Entry::Once(text) => Some(text),
            Entry::Absent | Entry::Repeated => None,
        }
    }

    /// The value of an entry that is there once, if it is a string.
    pub fn string(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.value(key)?).ok()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    entries.push((key, value.get()));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Whether a JSON text is nested deeper than the server allows.
pub fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut deepest, mut is_string, mut is_escaped) = (0, 0, false, false);
    for c in text.chars() {
        match (is_string, c) {
            (true, _) if is_escaped => is_escaped = false,
            (true, '\\') => is_escaped = true,
            (_, '"') => is_string = !is_string,
            (false, '[' | '{') => depth += 1,
            (false, ']' | '}') => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > bifrost::protocol::limits::MAX_JSON_DEPTH as i64
}
