//! `bifrost demo`: the server plus what an application would do, on one page.
//!
//! The demonstration signs tokens itself, for the one channel of its page, and only
//! when it is started as such.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::auth::{Algorithm, Secret, sign};
use crate::http::{HttpError, Request, Response};
use crate::protocol::json;

/// The one channel that the demonstration signs for.
pub const CHANNEL: &str = "demo";

/// What an application would have: the secret.
#[derive(Debug, Clone)]
pub struct Demo {
    secret: Secret,
    algorithm: Algorithm,
}

impl Demo {
    /// An application that shares this secret with the server.
    pub fn new(secret: Secret, algorithm: Algorithm) -> Demo {
        Demo { secret, algorithm }
    }

    /// The page: it connects, shows what arrives, and sends.
    pub fn page() -> Response {
        Response::page(include_str!("assets/demo.html"))
    }

    /// What an application's own endpoint gives a user: a token for its channels.
    pub fn give_token(&self) -> Response {
        Response::json(
            200,
            &json!({ "token": self.subscriber_token(), "channels": [CHANNEL] }),
        )
    }

    /// Signs a message for the demonstration's channel.
    ///
    /// # Errors
    /// A refusal with 400 whose sentence says what is wrong.
    pub fn sign_message(&self, request: &Request) -> Result<Response, HttpError> {
        if json::is_too_deep(&request.body) {
            return Err(HttpError::new(400, "body is nested too deep"));
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|_| HttpError::new(400, r#"body is not JSON; send {"message":{…}}"#))?;
        match &body["message"] {
            message @ Value::Object(_) => Ok(Response::json(
                200,
                &json!({ "token": self.broadcast_token(message) }),
            )),
            _ => Err(HttpError::new(
                400,
                r#"body has no message; send {"message":{…}}"#,
            )),
        }
    }

    /// A token to subscribe with.
    pub fn subscriber_token(&self) -> String {
        self.sign(&json!({ "channels": [CHANNEL] }))
    }

    /// A token that broadcasts a message.
    pub fn broadcast_token(&self, message: &Value) -> String {
        self.sign(&json!({ "channel": CHANNEL, "message": message }))
    }

    fn sign(&self, claims: &impl Serialize) -> String {
        sign(claims, &self.secret, self.algorithm).expect("our own claims can be signed")
    }
}

/// What a newcomer reads on the terminal: where to look and what to type.
pub fn introduction(demo: &Demo, address: SocketAddr) -> String {
    let message = json!({ "event": "new_item", "data": r#"{"title":"Hello from curl"}"# });
    let (subscriber, broadcast) = (demo.subscriber_token(), demo.broadcast_token(&message));
    let ask = r#"{"event":"authenticate","data":"<the token>"}"#;
    format!(
        "Bifrost is running. Its secret is for this run only, unless JWT_SECRET is set.

1. Open the demo page:

   http://{address}/

2. Broadcast to it from another terminal:

   curl -d token={broadcast} http://{address}/broadcast

3. Or subscribe with a WebSocket client of yours: connect to ws://{address}/subscribe
   and send {ask} with this token:

   {subscriber}

Shutdown with Ctrl-C. The log follows.
"
    )
}
