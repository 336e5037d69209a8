//! `bifrost demo`: the server, and what an application would do, on one page.
//!
//! The demonstration signs tokens itself, for the one channel of its page.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::auth::{Algorithm, Secret, sign};
use crate::http::{Head, HttpError, LocalHost, Request, Response, Status};
use crate::protocol::json;

/// The one channel that the demonstration signs tokens for.
pub const CHANNEL: &str = "demo";

/// What an application does: sign tokens with the secret that it shares with the server.
#[derive(Debug, Clone)]
pub struct Demo {
    secret: Secret,
    algorithm: Algorithm,
    /// Whoever has a token may subscribe, so no stranger's page may read one.
    host: LocalHost,
}

impl Demo {
    /// An application that shares this secret with the server, for requests to these names.
    pub fn new(secret: Secret, algorithm: Algorithm, host: LocalHost) -> Demo {
        Demo {
            secret,
            algorithm,
            host,
        }
    }

    /// The same application with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: &Secret, algorithm: Algorithm) -> Demo {
        Demo::new(secret.clone(), algorithm, self.host.clone())
    }

    /// Checks that a request is for this machine.
    ///
    /// # Errors
    /// 403 for one of a page whose host name only resolves to it.
    pub fn check_host(&self, head: &Head) -> Result<(), HttpError> {
        self.host.check(head)
    }

    /// The page: it connects, shows what arrives, and sends.
    ///
    /// # Errors
    /// As [`Demo::check_host`].
    pub fn page(&self, head: &Head) -> Result<Response, HttpError> {
        self.check_host(head)?;
        Ok(Response::page(include_str!("assets/demo.html")))
    }

    /// `GET /demo/token`: what an application's own endpoint gives a user, a token for its channels.
    pub fn give_token(&self) -> Response {
        Response::json(
            Status::Ok,
            &json!({ "token": self.subscriber_token(), "channels": [CHANNEL] }),
        )
    }

    /// `POST /demo/sign`: a token that broadcasts a message to the demonstration's channel.
    ///
    /// # Errors
    /// 400 with a sentence that says what is wrong.
    pub fn sign_message(&self, request: &Request) -> Result<Response, HttpError> {
        if json::is_too_deep(&request.body) {
            return Err(HttpError::bad_request("body is nested too deep"));
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|_| HttpError::bad_request(r#"body is not JSON; send {"message":{…}}"#))?;
        match &body["message"] {
            message @ Value::Object(_) => Ok(Response::json(
                Status::Ok,
                &json!({ "token": self.broadcast_token(message) }),
            )),
            _ => Err(HttpError::bad_request(
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

/// What the demonstration prints on the terminal: the page to open and the command to type.
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

Stop with Ctrl-C. The log follows.
"
    )
}
