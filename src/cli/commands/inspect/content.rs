//! The purposes of a token's claims, checked as the server checks them.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::auth::PublishScope;
use crate::protocol::channel;
use crate::protocol::json::Text;
use crate::protocol::limits::{MAX_CHANNELS, MAX_CLIENT_MESSAGE, MAX_HEAD};

/// `{"event":"authenticate","data":""}`, and `{"token":""}`, in bytes.
const AROUND_AUTHENTICATE: usize = 35;
const AROUND_POSTED: usize = 12;
/// The least that stands around a token in a request's head, in bytes.
const AROUND_HEADER: usize = "POST /broadcast HTTP/1.0\r\nAuthorization: Bearer \r\n\r\n".len();

/// The claims that the server reads, as their JSON text.
#[derive(Debug, Default, Deserialize)]
pub struct Claims<'a> {
    #[serde(borrow)]
    pub exp: Option<&'a RawValue>,
    #[serde(borrow)]
    pub nbf: Option<&'a RawValue>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    broadcast: Option<&'a RawValue>,
}

/// One thing that a token may be used for.
#[derive(Debug, PartialEq, Eq)]
pub struct Purpose {
    /// A sentence for the report.
    pub description: String,
    /// Why a server would reject that, if it would.
    pub fault: Option<String>,
}

/// How large a token is, and may be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// The token, in bytes.
    pub token: usize,
    /// The server's `BIFROST_MAX_BODY`.
    pub max_body: usize,
}

/// Everything that the claims are meant for.
pub fn purposes(claims: &Claims<'_>, size: Size) -> Vec<Purpose> {
    let subscribe = claims.channels.map(|channels| subscribe(channels, size));
    let is_message = claims.channel.is_some() || claims.message.is_some();
    let broadcast = is_message.then(|| broadcast(claims, size));
    let publisher = claims.broadcast.map(|patterns| publisher(patterns, size));
    [subscribe, broadcast, publisher]
        .into_iter()
        .flatten()
        .collect()
}

fn subscribe(raw: &RawValue, size: Size) -> Purpose {
    let Ok(channels) = serde_json::from_str::<Vec<Text>>(raw.get()) else {
        return Purpose {
            description: "subscribe".into(),
            fault: Some("channels is not an array of strings".into()),
        };
    };
    let distinct: HashSet<&str> = channels.iter().map(|Text(name)| &**name).collect();
    let description = format!(
        "subscribe: may listen to {}",
        counted(distinct.len(), "channel")
    );
    let wrong = distinct.iter().find_map(|name| {
        channel::check(name)
            .err()
            .map(|fault| format!("a channel {fault}"))
    });
    let too_many = (distinct.len() > MAX_CHANNELS)
        .then(|| format!("{} channels are over {MAX_CHANNELS}", distinct.len()));
    let too_long = (size.token + AROUND_AUTHENTICATE > MAX_CLIENT_MESSAGE).then(|| {
        let token = size.token;
        format!(
            "the token of {token} bytes does not fit in a message of {MAX_CLIENT_MESSAGE} bytes"
        )
    });
    let fault = wrong.or(too_many).or(too_long);
    Purpose { description, fault }
}

fn broadcast(claims: &Claims<'_>, size: Size) -> Purpose {
    let name = claims
        .channel
        .map(|raw| serde_json::from_str::<Text>(raw.get()));
    let description = match &name {
        Some(Ok(Text(name))) => format!("broadcast: one message to channel {name:?}"),
        _ => "broadcast: one message".into(),
    };
    let fault = match (name, claims.message) {
        (None, _) => Some("channel is missing".into()),
        (Some(Err(_)), _) => Some("channel is not a string".into()),
        (Some(Ok(Text(name))), message) => match (channel::check(&name), message) {
            (Err(fault), _) => Some(format!("channel {fault}")),
            (Ok(()), None) => Some("message is missing".into()),
            (Ok(()), Some(message)) => object_fault(message),
        },
    };
    let too_long = (size.token + AROUND_POSTED > size.max_body).then(|| {
        let (token, limit) = (size.token, size.max_body);
        format!("the token of {token} bytes does not fit in a body of {limit} bytes")
    });
    Purpose {
        description,
        fault: fault.or(too_long),
    }
}

fn object_fault(message: &RawValue) -> Option<String> {
    let text = message.get();
    let cure = if text.starts_with('"') {
        ": it is a string; sign the object itself, not its JSON text"
    } else {
        ""
    };
    (!text.starts_with('{')).then(|| format!("message is not an object{cure}"))
}

fn publisher(raw: &RawValue, size: Size) -> Purpose {
    let scope = match PublishScope::read(Some(raw)) {
        Ok(scope) => scope,
        Err(fault) => {
            return Purpose {
                description: "publisher".into(),
                fault: Some(fault.to_string()),
            };
        }
    };
    let count = scope.patterns().len();
    let nothing = (count == 0).then(|| "it lists no channel".into());
    let too_long = (size.token + AROUND_HEADER > MAX_HEAD).then(|| {
        let token = size.token;
        format!("the token of {token} bytes does not fit in a request head of {MAX_HEAD} bytes")
    });
    Purpose {
        description: format!(
            "publisher: may broadcast to channels that match {}",
            counted(count, "pattern")
        ),
        fault: nothing.or(too_long),
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        token: 100,
        max_body: 1 << 20,
    };

    #[track_caller]
    fn expect(claims: &str, what: &str, fault: Option<&str>) {
        let claims: Claims = serde_json::from_str(claims).unwrap();
        let [found] = &purposes(&claims, SMALL)[..] else {
            panic!("not one purpose: {claims:?}");
        };
        assert!(found.description.starts_with(what), "{found:?}");
        match (&found.fault, fault) {
            (Some(found), Some(words)) => assert!(found.contains(words), "{found}"),
            (found, expected) => assert_eq!(found.as_deref(), expected),
        }
    }

    #[test]
    fn each_purpose_is_checked() {
        expect(
            r#"{"channels":["a","b","a"]}"#,
            "subscribe: may listen to 2 channels",
            None,
        );
        expect(
            r#"{"channels":[]}"#,
            "subscribe: may listen to 0 channels",
            None,
        );
        expect(r#"{"channels":"a"}"#, "subscribe", Some("not an array"));
        expect(r#"{"channels":[""]}"#, "subscribe", Some("is empty"));
        expect(
            r#"{"channel":"a","message":{}}"#,
            r#"broadcast: one message to channel "a""#,
            None,
        );
        expect(
            r#"{"channel":"a"}"#,
            "broadcast",
            Some("message is missing"),
        );
        expect(r#"{"message":{}}"#, "broadcast", Some("channel is missing"));
        expect(
            r#"{"channel":7,"message":{}}"#,
            "broadcast",
            Some("not a string"),
        );
        expect(
            r#"{"channel":"a","message":"{}"}"#,
            "broadcast",
            Some("not its JSON text"),
        );
        expect(r#"{"broadcast":["a*"]}"#, "publisher", None);
        expect(r#"{"broadcast":[]}"#, "publisher", Some("no channel"));
        expect(r#"{"broadcast":"a"}"#, "publisher", Some("array"));
    }

    #[test]
    fn claims_without_meaning_have_no_purpose() {
        let claims: Claims =
            serde_json::from_str(r#"{"sub":"1","exp":1,"channels":null}"#).unwrap();
        assert_eq!(purposes(&claims, SMALL), []);
    }

    #[test]
    fn more_than_the_limits_is_reported() {
        let names: Vec<String> = (0..129).map(|number| number.to_string()).collect();
        let claims = serde_json::json!({ "channels": names }).to_string();
        expect(&claims, "subscribe", Some("129 channels are over 128"));
        let claims: Claims = serde_json::from_str(r#"{"channel":"a","message":{}}"#).unwrap();
        let large = Size {
            token: 1 << 20,
            ..SMALL
        };
        assert!(
            purposes(&claims, large)[0]
                .fault
                .as_ref()
                .unwrap()
                .contains("1048576")
        );
    }
}
