//! The claims that we sign: checked as a server would check them, so that what is printed
//! or sent is never refused for its content.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::value::RawValue;

use super::Failure;
use crate::auth;
use crate::config::Keys;
use crate::protocol::channel;
use crate::protocol::json;
use crate::protocol::limits::MAX_CHANNELS;
use crate::protocol::limits::MAX_JSON_DEPTH;

/// The claims take one level of nesting for themselves.
const MAX_MESSAGE_DEPTH: usize = MAX_JSON_DEPTH - 1;
/// Longest publisher's token, in bytes: nginx and others take 8 KiB for one header.
const MAX_PUBLISHER_TOKEN: usize = 8000;

/// What a browser shows to listen.
#[derive(Serialize)]
struct Subscribe<'a> {
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// One message, signed.
#[derive(Serialize)]
struct Broadcast<'a> {
    channel: &'a str,
    message: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// What a script shows to send whatever it likes.
#[derive(Serialize)]
struct Publish<'a> {
    broadcast: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// A token to listen to these channels.
///
/// # Errors
/// When there are too many, or one can't be a channel.
pub fn subscribe(
    channels: &[String],
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, Failure> {
    for channel in channels {
        check_channel(channel)?;
    }
    let distinct = channels.iter().collect::<HashSet<_>>().len();
    if distinct > MAX_CHANNELS {
        return Err(Failure::Usage(format!(
            "{distinct} channels are too many; a connection holds at most {MAX_CHANNELS}"
        )));
    }
    let exp = expiry(lifetime);
    sign(&Subscribe { channels, exp }, keys)
}

/// A token that is one message; see [`event`] and [`object`].
///
/// # Errors
/// When the channel can't be one.
pub fn broadcast(
    channel: &str,
    message: &RawValue,
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, Failure> {
    check_channel(channel)?;
    let exp = expiry(lifetime);
    let claims = Broadcast {
        channel,
        message,
        exp,
    };
    sign(&claims, keys)
}

/// A token to send anything to channels that match.
///
/// # Errors
/// When a pattern can match nothing or looks like a mistake, or the token gets too long.
pub fn publish(
    patterns: &[String],
    lifetime: Option<Duration>,
    keys: &Keys,
) -> Result<String, Failure> {
    for pattern in patterns {
        check_pattern(pattern)
            .map_err(|fault| Failure::Usage(format!("pattern {} {fault}", shown(pattern))))?;
    }
    let exp = expiry(lifetime);
    let claims = Publish {
        broadcast: patterns,
        exp,
    };
    let token = sign(&claims, keys)?;
    match token.len() {
        0..=MAX_PUBLISHER_TOKEN => Ok(token),
        size => Err(Failure::Usage(format!(
            "the token would have {size} bytes, and a header that every proxy takes has room for \
             {MAX_PUBLISHER_TOKEN}; use fewer patterns, or a * at their end"
        ))),
    }
}

/// A server takes a star within a pattern for the character that it is. Who types one expects
/// more, and would find out when nothing matches.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
fn check_pattern(pattern: &str) -> Result<(), String> {
    channel::check(pattern).map_err(|fault| fault.to_string())?;
    match pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
        true => Err("has a * that is not its last character".into()),
        false => Ok(()),
    }
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

/// A message that is written already.
///
/// # Errors
/// When it is not a JSON object, or nested too deep.
pub fn object(text: &str) -> Result<Box<RawValue>, Failure> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if json::depth(text.as_bytes()) > MAX_MESSAGE_DEPTH {
        let sentence = format!("the message is nested over {MAX_MESSAGE_DEPTH} levels deep");
        return Err(Failure::Usage(sentence));
    }
    let message: Box<RawValue> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Usage(format!(
            "the message is not JSON (line {line}, column {column}); use an object such as \
             {{\"event\":\"hi\",\"data\":\"you\"}}"
        ))
    })?;
    match message.get().starts_with('{') {
        true => Ok(message),
        false => Err(Failure::Usage(
            "the message is not a JSON object; use one such as {\"event\":\"hi\"}".into(),
        )),
    }
}

fn check_channel(name: &str) -> Result<(), Failure> {
    channel::check(name).map_err(|fault| Failure::Usage(format!("channel {} {fault}", shown(name))))
}

/// A name as a message shows it: its beginning will do.
fn shown(name: &str) -> String {
    const LONG: usize = 40;
    match name.char_indices().nth(LONG) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// The first whole second that is not before the end of the lifetime.
fn expiry(lifetime: Option<Duration>) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = now.unwrap_or(Duration::ZERO) + lifetime?;
    Some(end.as_secs() + u64::from(end.subsec_nanos() > 0))
}

fn sign(claims: &impl Serialize, keys: &Keys) -> Result<String, Failure> {
    auth::sign(claims, &keys.secret, keys.algorithm)
        .map_err(|error| Failure::Failed(format!("can't sign: {error}")))
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
        let failure = subscribe(&names, None, &keys()).unwrap_err().to_string();
        assert!(failure.contains("129 channels"), "{failure}");
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
        fn long_names_are_shown_short(name in "\\PC{0,60}") {
            prop_assert!(shown(&name).chars().count() <= 8 * 60);
        }
    }
}
