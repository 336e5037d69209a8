//! What a client says: JSON objects with an `event`. And what it is told in that form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tungstenite::Bytes;

use crate::protocol::json::Text;
use crate::telemetry::counters::ClientEvent;
use crate::websocket::frame;

/// One message of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It shows a token; nothing if what it shows is not a string.
    Authenticate(Option<Cow<'a, str>>),
    /// It wants to hear that we are here.
    Ping,
    /// It says something that means nothing here.
    Other,
    /// It says something that is not an event, for the reason given.
    Malformed(&'static str),
}

impl Event<'_> {
    /// Reads a message.
    pub fn parse(text: &str) -> Event<'_> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            event: Option<&'a RawValue>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        if !text.trim_start().starts_with('{') {
            return Event::Malformed("message is not a JSON object");
        }
        let Ok(message) = serde_json::from_str::<Message>(text) else {
            return Event::Malformed("message is not a JSON object");
        };
        let Some(event) = message.event else {
            return Event::Malformed("event is missing");
        };
        let Some(event) = string(event) else {
            return Event::Malformed("event is not a string");
        };
        match &*event {
            "authenticate" => Event::Authenticate(message.data.and_then(string)),
            "ping" => Event::Ping,
            #[cfg(feature = "provoke-panic")]
            "panic" => panic!("on purpose"),
            _ => Event::Other,
        }
    }

    /// What it is counted as.
    pub fn kind(&self) -> ClientEvent {
        match self {
            Event::Authenticate(_) => ClientEvent::Authenticate,
            Event::Ping => ClientEvent::Ping,
            Event::Other => ClientEvent::Other,
            Event::Malformed(_) => ClientEvent::Malformed,
        }
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(raw.get()).ok().map(|Text(text)| text)
}

/// `{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}` as a frame.
pub fn subscribed(channel: &str) -> Bytes {
    #[derive(Serialize)]
    struct Data<'a> {
        channel: &'a str,
    }
    with_data("subscribed", &Data { channel })
}

/// `{"event":"pong"}` as a frame.
pub fn pong() -> Bytes {
    frame::text(r#"{"event":"pong"}"#)
}

/// `{"event":"error","data":"{\"message\":\"…\"}"}` as a frame.
pub fn error(message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Data<'a> {
        message: &'a str,
    }
    with_data("error", &Data { message })
}

/// The data is a JSON text inside a JSON string, as clients of the first hour expect it.
fn with_data(event: &str, data: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Message<'a> {
        event: &'a str,
        data: String,
    }
    let data = serde_json::to_string(data).expect("strings are JSON");
    let message = serde_json::to_string(&Message { event, data }).expect("strings are JSON");
    frame::text(&message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(frame: &Bytes) -> &str {
        std::str::from_utf8(&frame[2..]).unwrap()
    }

    #[test]
    fn events_are_read() {
        let token = Event::parse(r#" {"data":"a.b.c","x":[1],"event":"authenticate"} "#);
        assert_eq!(token, Event::Authenticate(Some("a.b.c".into())));
        for data in [
            r#""event":"authenticate""#,
            r#""event":"authenticate","data":7"#,
        ] {
            assert_eq!(
                Event::parse(&format!("{{{data}}}")),
                Event::Authenticate(None)
            );
        }
        assert_eq!(Event::parse(r#"{"event":"p\u0069ng"}"#), Event::Ping);
        assert_eq!(Event::parse(r#"{"event":"dance"}"#), Event::Other);
    }

    #[test]
    fn what_is_not_an_event_is_told() {
        for text in [
            "",
            "hi",
            "[]",
            "7",
            "[\"ping\",null]",
            "{",
            "{\"event\":\"ping\"} x",
        ] {
            assert_eq!(
                Event::parse(text),
                Event::Malformed("message is not a JSON object")
            );
        }
        assert_eq!(Event::parse("{}"), Event::Malformed("event is missing"));
        assert_eq!(
            Event::parse(r#"{"event":1}"#),
            Event::Malformed("event is not a string")
        );
    }

    #[test]
    fn answers_are_as_the_protocol_has_them() {
        let expected = r#"{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}"#;
        assert_eq!(payload(&subscribed("user:1")), expected);
        let expected = r#"{"event":"error","data":"{\"message\":\"no\"}"}"#;
        assert_eq!(payload(&error("no")), expected);
        assert_eq!(payload(&pong()), r#"{"event":"pong"}"#);
    }

    proptest! {
        #[test]
        fn a_channel_comes_out_as_it_went_in(name in "\\PC{1,20}") {
            let frame = subscribed(&name);
            let message: serde_json::Value = serde_json::from_slice(&frame[2..]).unwrap();
            let data = message["data"].as_str().unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            prop_assert_eq!(data["channel"].as_str().unwrap(), &name);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-e1\\\\ ]{0,60}") {
            Event::parse(&text);
        }

        #[test]
        fn names_are_compared_after_unescaping(name in "\\PC{0,12}") {
            let text = serde_json::json!({ "event": name }).to_string();
            let expected = match name.as_str() { "ping" => Event::Ping, _ => Event::Other };
            prop_assume!(name != "authenticate");
            prop_assert_eq!(Event::parse(&text), expected);
        }
    }
}
