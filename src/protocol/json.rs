//! JSON text beyond what serde_json does: nesting depth, borrowed strings, pretty printing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::limits::MAX_JSON_DEPTH;

/// Whether a JSON text is nested deeper than [`MAX_JSON_DEPTH`].
///
/// Few texts have so many brackets at all, and counting those takes a tenth of the time.
pub fn is_too_deep(text: &[u8]) -> bool {
    let opening = text.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    opening.count() > MAX_JSON_DEPTH && depth(text) > MAX_JSON_DEPTH
}

/// How deep arrays and objects are nested in a JSON text.
///
/// The result means nothing for text that is not JSON; parse it too. serde_json's own limit does
/// not suffice: it does not count inside values that are kept as raw text.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// The items of an array: the first `MOST` as raw text, and the number of all. An array of more,
/// which nobody wants, takes no memory.
#[derive(Debug)]
pub struct Items<'a, const MOST: usize> {
    /// The first items.
    pub first: Vec<&'a RawValue>,
    /// The number of all.
    pub count: usize,
}

impl<'de, const MOST: usize> Deserialize<'de> for Items<'de, MOST> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor<const MOST: usize>;

impl<'de, const MOST: usize> Visitor<'de> for ItemsVisitor<MOST> {
    type Value = Items<'de, MOST>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < MOST {
            let Some(item) = array.next_element()? else {
                let count = first.len();
                return Ok(Items { first, count });
            };
            first.push(item);
        }
        let mut count = MOST;
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Items { first, count })
    }
}

/// Deserializes a field of which only its presence matters: `null` is present too.
///
/// # Errors
/// When its value is not JSON.
pub fn is_given<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Whether a JSON text is an object. serde fills a struct from an array too.
///
/// The result means nothing for text that is not JSON; parse it too.
pub fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

/// A JSON text with one item per line, in its own order and spelling. Control characters are
/// escaped, so that a terminal shows them instead of obeying them.
///
/// Text that is not JSON comes out as text that is not JSON.
pub fn pretty(text: &str) -> String {
    let mut pretty = String::with_capacity(2 * text.len());
    let mut depth = 0_usize;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => copy_string(&mut rest, &mut pretty),
            '{' | '[' => {
                pretty.push(c);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => pretty.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut pretty, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            c => push_visibly(c, &mut pretty),
        }
    }
    pretty
}

fn new_line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n("  ", depth));
}

/// Copies a string up to its closing quote; the opening one is consumed already.
fn copy_string(rest: &mut impl Iterator<Item = char>, pretty: &mut String) {
    pretty.push('"');
    while let Some(c) = rest.next() {
        push_visibly(c, pretty);
        match c {
            '"' => return,
            '\\' => rest
                .next()
                .into_iter()
                .for_each(|c| push_visibly(c, pretty)),
            _ => {}
        }
    }
}

fn push_visibly(c: char, pretty: &mut String) {
    if c.is_control() {
        pretty.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        pretty.push(c);
    }
}

/// A JSON string, borrowed if it has no escapes.
#[derive(Debug, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(depth(b""), 0);
        assert_eq!(depth(b"7"), 0);
        assert_eq!(depth(b"{}"), 1);
        assert_eq!(depth(br#"{"a":[{"b":"[[[\"[[["}],"c":{}}"#), 3);
        assert_eq!(depth("[".repeat(500).as_bytes()), 500);
        assert_eq!(depth(br#""\\"[[]]"#), 2);
    }

    #[test]
    fn items_over_the_limit_are_only_counted() {
        let items = |text| serde_json::from_str::<Items<'_, 2>>(text);
        for (text, first, count) in [
            ("[]", 0, 0),
            ("[1]", 1, 1),
            ("[1,{}]", 2, 2),
            ("[1, {}, [2]]", 2, 3),
        ] {
            let found = items(text).unwrap();
            assert_eq!((found.first.len(), found.count), (first, count), "{text}");
        }
        assert_eq!(items("[ {\"a\":1} ]").unwrap().first[0].get(), "{\"a\":1}");
        assert!(items("[1,2,]").is_err() && items("[1,2,x]").is_err() && items("{}").is_err());
    }

    #[test]
    fn the_limit_is_128_levels() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!is_too_deep(nested(128).as_bytes()) && is_too_deep(nested(129).as_bytes()));
        assert!(!is_too_deep("[]".repeat(1000).as_bytes()));
    }

    #[test]
    fn an_object_begins_with_a_brace() {
        assert!(is_object(b"{}") && is_object(b" \t\r\n{"));
        assert!(!is_object(b"") && !is_object(b" [{}]") && !is_object(b"\"{\""));
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let Text(plain) = serde_json::from_str(r#""user:1""#).unwrap();
        assert!(matches!(plain, Cow::Borrowed("user:1")));
        let Text(escaped) = serde_json::from_str(r#""a\/b""#).unwrap();
        assert_eq!(escaped, "a/b");
    }

    #[test]
    fn pretty_keeps_order_and_spelling() {
        let text = r#"{"b":[1.0e2,{}],"a":{"x\"[":"\u00e4" , "y" : [ ] }}"#;
        let expected = r#"{
  "b": [
    1.0e2,
    {}
  ],
  "a": {
    "x\"[": "\u00e4",
    "y": []
  }
}"#;
        assert_eq!(pretty(text), expected);
        assert_eq!(pretty("\"\u{9b}31m\""), "\"\\u009b31m\"");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
            ".{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let object = prop::collection::btree_map(".{0,4}", inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::from),
                object.prop_map(|object| object.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn pretty_text_has_the_same_value(value in value()) {
            let pretty = pretty(&value.to_string());
            let read: serde_json::Value = serde_json::from_str(&pretty).unwrap();
            prop_assert_eq!(read, value);
            prop_assert!(!pretty.contains(|c: char| c.is_control() && c != '\n'));
        }

        #[test]
        fn pretty_takes_any_text(text in "\\PC{0,40}") {
            pretty(&text);
        }
        #[test]
        fn depth_agrees_with_the_parser(text in "[\\[\\]{}\":,a1\\\\]{0,40}") {
            fn of(value: &serde_json::Value) -> usize {
                match value {
                    serde_json::Value::Array(items) => 1 + items.iter().map(of).max().unwrap_or(0),
                    serde_json::Value::Object(items) => {
                        1 + items.values().map(of).max().unwrap_or(0)
                    }
                    _ => 0,
                }
            }
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                // Of a repeated key one value is kept, so the value may be less deep.
                prop_assert!(of(&value) <= depth(text.as_bytes()));
            }
            depth(text.as_bytes());
        }
    }
}
