//! Tokens that the commands sign. The claims are checked as the server checks them, so that it
//! never rejects one for its content.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::value::RawValue;

use super::outcome::CommandError;
use crate::auth;
use crate::config::Keys;
use crate::protocol::channel;
use crate::protocol::json;
use crate::protocol::limits::{MAX_CHANNELS, MAX_JSON_DEPTH};

/// Deepest nesting of a message: the claims around it are one more level.
const MAX_MESSAGE_DEPTH: usize = MAX_JSON_DEPTH - 1;
/// Longest publisher's token, in bytes: nginx and others take 8 KiB for one header.
const MAX_PUBLISHER_TOKEN: usize = 8000;

/// The claims of a subscriber token.
#[derive(Serialize)]
struct Subscribe<'a> {
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// The claims of a message token.
#[derive(Serialize)]
struct Broadcast<'a> {
    channel: &'a str,
    message: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// The claims of a publisher token.
#[derive(Serialize)]
struct Publish<'a> {
    broadcast: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// A subscriber token for these channels.
///
/// # Errors
/// When there are too many, or one is not a channel name.
pub fn subscribe(
    channels: &[String],
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, CommandError> {
    for channel in channels {
        check_channel(channel)?;
    }
    let distinct = channels.iter().collect::<HashSet<_>>().len();
    if distinct > MAX_CHANNELS {
        return Err(CommandError::Usage(format!(
            "{distinct} channels are too many; a connection holds at most {MAX_CHANNELS}"
        )));
    }
    let exp = expiry(lifetime);
    sign(&Subscribe { channels, exp }, keys)
}

/// A message token; [`event`] and [`object`] make the message.
///
/// # Errors
/// When the channel is not a channel name.
pub fn broadcast(
    channel: &str,
    message: &RawValue,
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, CommandError> {
    check_channel(channel)?;
    let exp = expiry(lifetime);
    let claims = Broadcast {
        channel,
        message,
        exp,
    };
    sign(&claims, keys)
}

/// A publisher token for channels that match these patterns.
///
/// # Errors
/// When a pattern can match nothing or looks like a mistake, or the token is too long.
pub fn publish(
    patterns: &[String],
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, CommandError> {
    for pattern in patterns {
        check_pattern(pattern)
            .map_err(|fault| CommandError::Usage(format!("pattern {} {fault}", quoted(pattern))))?;
    }
    let exp = expiry(lifetime);
    let claims = Publish {
        broadcast: patterns,
        exp,
    };
    let token = sign(&claims, keys)?;
    match token.len() {
        0..=MAX_PUBLISHER_TOKEN => Ok(token),
        size => Err(CommandError::Usage(format!(
            "the token would have {size} bytes, and a header that every proxy takes has room for \
             {MAX_PUBLISHER_TOKEN}; use fewer patterns, or a * at their end"
        ))),
    }
}

/// Refuses a `*` that is not the last character: to the server it is a character like any
/// other, so that the pattern would match nothing that its author expects.
///
/// # Errors
/// What is wrong with the pattern, as the end of a sentence.
fn check_pattern(pattern: &str) -> Result<(), String> {
    channel::check(pattern).map_err(|fault| fault.to_string())?;
    if pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
        return Err("has a * that is not its last character".into());
    }
    Ok(())
}

/// `{"event":…,"data":…}`, where data is a string, or left out.
pub fn event(event: &str, data: Option<&str>) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Event<'a> {
        event: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a str>,
    }
    serde_json::value::to_raw_value(&Event { event, data }).expect("strings are JSON")
}

/// A message that is given as JSON; its text is kept.
///
/// # Errors
/// When it is not a JSON object, or nested too deep.
pub fn object(text: &str) -> Result<Box<RawValue>, CommandError> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if json::depth(text.as_bytes()) > MAX_MESSAGE_DEPTH {
        let sentence = format!("the message is nested over {MAX_MESSAGE_DEPTH} levels deep");
        return Err(CommandError::Usage(sentence));
    }
    let message: Box<RawValue> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        CommandError::Usage(format!(
            "the message is not JSON (line {line}, column {column}); use an object such as \
             {{\"event\":\"hi\",\"data\":\"you\"}}"
        ))
    })?;
    if !message.get().starts_with('{') {
        return Err(CommandError::Usage(
            "the message is not a JSON object; use one such as {\"event\":\"hi\"}".into(),
        ));
    }
    Ok(message)
}

fn check_channel(name: &str) -> Result<(), CommandError> {
    channel::check(name)
        .map_err(|fault| CommandError::Usage(format!("channel {} {fault}", quoted(name))))
}

/// A name in quotation marks; of a long one the beginning.
fn quoted(name: &str) -> String {
    const LONG: usize = 40;
    match name.char_indices().nth(LONG) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// When a lifetime that begins now ends, rounded up to a second.
fn expiry(lifetime: Option<Duration>) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = now.unwrap_or(Duration::ZERO) + lifetime?;
    Some(end.as_secs() + u64::from(end.subsec_nanos() > 0))
}

fn sign(claims: &impl Serialize, keys: &Keys) -> Result<String, CommandError> {
    auth::sign(claims, &keys.secret, keys.algorithm)
        .map_err(|error| CommandError::Failed(format!("can't sign: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Algorithm, Secret, Verifier};
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys {
            secret: Secret::new(vec![b'x'; 64]),
            algorithm: Algorithm::HS512,
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["", "x", "[]", "7", "null", "{", "{}{}", "{\"a\":1,}"] {
            assert_eq!(object(text).unwrap_err().code(), 2, "{text}");
        }
        let deep = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(&deep(126)).is_ok());
        assert!(object(&deep(127)).is_err());
    }

    #[test]
    fn a_message_is_kept_to_the_byte() {
        let text = "{ \"b\": 1.0e2,\n\"a\":\"\\u00e4\" }";
        assert_eq!(object(&format!(" {text}\n")).unwrap().get(), text);
        let token = broadcast("a", &object(text).unwrap(), None, &keys()).unwrap();
        let verifier = Verifier::new(&keys().secret, keys().algorithm);
        let verified = verifier.verify(&token).unwrap();
        let claims = verified.claims(SystemTime::now()).unwrap();
        assert_eq!(claims.message.unwrap().get(), text);
    }

    #[test]
    fn a_pattern_has_its_star_at_the_end() {
        for pattern in ["news", "user:*", "*", &"x".repeat(255)] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
        }
        for pattern in ["", "a*b", "**", "*a", "a**", &"x".repeat(256)] {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn channels_are_counted_once() {
        let mut names: Vec<String> = (0..128).map(|number| number.to_string()).collect();
        names.push("7".into());
        assert!(subscribe(&names, None, &keys()).is_ok());
        names.push("another".into());
        let error = subscribe(&names, None, &keys()).unwrap_err().to_string();
        assert!(error.contains("129 channels"), "{error}");
    }

    #[test]
    fn an_expiry_is_never_early() {
        assert_eq!(expiry(None), None);
        let lifetime = Duration::from_secs(60);
        let earliest = (SystemTime::now() + lifetime).duration_since(UNIX_EPOCH);
        let exp = expiry(Some(lifetime)).unwrap();
        assert!(Duration::from_secs(exp) >= earliest.unwrap());
    }

    proptest! {
        #[test]
        fn data_comes_out_as_it_went_in(name in "\\PC{0,9}", data in "[\\PC\n\t\"]{0,30}") {
            let message = event(&name, Some(&data));
            let message: serde_json::Value = serde_json::from_str(message.get()).unwrap();
            prop_assert_eq!(message["event"].as_str(), Some(name.as_str()));
            prop_assert_eq!(message["data"].as_str(), Some(data.as_str()));
        }

        #[test]
        fn no_message_makes_it_panic(text in "[\\[\\]{}\":,a1\\\\ ]{0,40}") {
            let _ = object(&text);
        }

        #[test]
        fn long_names_are_cut(name in "\\PC{0,60}") {
            prop_assert!(quoted(&name).chars().count() <= 8 * 60);
        }
    }
}
