//! The events of the WebSocket protocol: JSON objects with an `event`, from clients and to them.
//!
//! Text only; `websocket` puts it into frames.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::Text;
use crate::telemetry::labels::ClientEvent;

/// A client's message.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// `authenticate` with its token; none if `data` is missing or not a string.
    Authenticate(Option<Cow<'a, str>>),
    /// `ping`.
    Ping,
    /// Any other event, which is ignored.
    Other,
    /// Text that is not an event, with the reason.
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

    /// The label under which it is counted.
    pub fn label(&self) -> ClientEvent {
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

/// `{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}`: a channel is subscribed to.
pub fn subscribed(channel: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        channel: &'a str,
    }
    with_data("subscribed", &Data { channel })
}

/// `{"event":"pong"}`: the answer to a ping.
pub const PONG: &str = r#"{"event":"pong"}"#;

/// `{"event":"error","data":"{\"message\":\"…\"}"}`: a message was not an event.
pub fn error(message: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        message: &'a str,
    }
    with_data("error", &Data { message })
}

/// The data is a JSON text inside a JSON string, as existing clients expect it.
fn with_data(event: &str, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        event: &'a str,
        data: String,
    }
    let data = serde_json::to_string(data).expect("strings are JSON");
    serde_json::to_string(&Message { event, data }).expect("strings are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_are_parsed() {
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
    fn text_that_is_not_an_event_has_a_reason() {
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
    fn texts_are_those_of_the_protocol() {
        let expected = r#"{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}"#;
        assert_eq!(subscribed("user:1"), expected);
        let expected = r#"{"event":"error","data":"{\"message\":\"no\"}"}"#;
        assert_eq!(error("no"), expected);
    }

    proptest! {
        #[test]
        fn a_channel_name_survives_escaping(name in "\\PC{1,20}") {
            let message: serde_json::Value = serde_json::from_str(&subscribed(&name)).unwrap();
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
