//! The limits of the protocol that no setting changes.

/// Longest name of a channel, in bytes.
pub const MAX_CHANNEL_NAME: usize = 255;
/// Most channels on one connection.
pub const MAX_CHANNELS: usize = 128;
/// Longest message of a WebSocket client, in bytes.
pub const MAX_CLIENT_MESSAGE: usize = 64 * 1024;
/// Most messages in one request to broadcast.
pub const MAX_MESSAGES: usize = 100;
/// Deepest nesting of a request body, of a token's header and of its claims; `{}` is 1 deep.
pub const MAX_JSON_DEPTH: usize = 128;
/// Longest request line, in bytes.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;
/// Longest head of a request, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Most headers of a request.
pub const MAX_HEADERS: usize = 100;
