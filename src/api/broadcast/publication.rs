//! A channel and a message for it, checked.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::protocol::channel;
use crate::protocol::json::{self, Text};

/// A message that can be sent.
pub struct Publication {
    /// The name of its channel.
    pub channel: String,
    /// Its text, as the application wrote it.
    pub payload: Bytes,
}

impl Publication {
    /// Checks a channel and a message, each as the application wrote it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(
        channel: Option<&RawValue>,
        message: Option<&RawValue>,
    ) -> Result<Publication, String> {
        let channel = channel.ok_or("channel is missing")?;
        let Text(channel) =
            serde_json::from_str(channel.get()).map_err(|_| "channel is not a string")?;
        channel::check(&channel).map_err(|error| format!("channel {error}"))?;
        let message = message.ok_or("message is missing")?.get();
        if !json::is_object(message.as_bytes()) {
            return Err("message is not an object".into());
        }
        Ok(Publication {
            channel: channel.into_owned(),
            payload: Bytes::copy_from_slice(message.as_bytes()),
        })
    }
}

/// Whether a body is an array of objects, by its beginning.
pub fn is_list(body: &[u8]) -> bool {
    body.strip_prefix(b"[").is_some_and(json::is_object)
}
