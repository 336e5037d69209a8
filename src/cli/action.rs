//! What the command line can ask for: one variant per command, with its arguments.

use std::time::Duration;

use clap_complete::Shell;

/// The command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    Serve,
    /// Serve the demonstration.
    Demo,
    /// Print a signed token.
    Token(TokenRequest),
    /// Print what is in a token, and whether a server would accept it.
    Inspect(TextSource),
    /// Sign and send messages.
    Broadcast(Broadcast),
    /// Print the messages of channels.
    Listen(Listen),
    /// Print a new secret.
    Secret,
    /// Print the settings as the server reads them.
    Check,
    /// Ask a server whether it is well.
    Health(Probe),
    /// Print the completions for a shell.
    Completions(Shell),
    /// Print a man page.
    Man(ManPage),
    /// Print unit files.
    Unit(Unit),
}

/// Which man page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManPage {
    /// The page of the commands, `bifrost.1`.
    Commands,
    /// A page of the manual, by its name.
    Manual(String),
    /// The names of the manual's pages.
    List,
}

/// Which unit files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The one that runs the server.
    Service,
    /// The one that holds its port.
    Socket,
    /// Both, each under its name.
    Both,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// The command line.
    Argument(String),
    /// Stdin, for which `-` is given.
    Stdin,
}

/// A token to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it allows.
    pub kind: TokenKind,
    /// How long it is valid from now on; `None` for a token that does not expire.
    pub lifetime: Option<Duration>,
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// To subscribe to these channels.
    Subscriber(Vec<String>),
    /// To send this one message.
    Message(Content),
    /// To send any message to channels that match these patterns.
    Publisher(Vec<String>),
}

/// A message and its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The channel's name.
    pub channel: String,
    /// The message.
    pub message: Message,
}

/// A message, as the arguments describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `{"event":…,"data":…}`, where data is a string or left out.
    Event {
        /// The event's name.
        event: String,
        /// The data.
        data: Option<TextSource>,
    },
    /// A JSON object, sent as it is written.
    Json(TextSource),
}

/// The arguments of `bifrost broadcast`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// The message and its channel.
    pub content: Content,
    /// How many messages to send.
    pub repeat: Repeat,
}

/// How many messages to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// One.
    Once,
    /// One for each line on stdin.
    EachLine,
}

/// The arguments of `bifrost listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where the token comes from.
    pub credentials: Credentials,
    /// How messages are printed.
    pub format: OutputFormat,
    /// After how many messages to end.
    pub count: Option<u64>,
}

/// Where a subscriber's token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It is signed here, for these channels.
    Channels(Vec<String>),
    /// It is read from this file, or from stdin for `-`.
    TokenFile(String),
}

/// How a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// On one line: line breaks in the message become spaces.
    Line,
    /// Byte for byte.
    Raw,
}

/// What a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Whether it accepts new subscribers.
    Ready,
    /// Whether it serves at all.
    Live,
}
