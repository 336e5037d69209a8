//! What the command line can ask for, in types.

use std::time::Duration;

use clap_complete::Shell;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    Serve,
    /// Serve the demonstration.
    Demo,
    /// Print a signed token.
    Token(Grant),
    /// Say what is in a token, and whether it is good.
    Inspect(Text),
    /// Sign and send messages.
    Broadcast(Broadcast),
    /// Print what arrives on channels.
    Listen(Listen),
    /// Print a new secret.
    Secret,
    /// Say what the settings come out as.
    Check,
    /// Ask a server how it is.
    Health(Probe),
    /// Print what makes a shell complete our commands.
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
    /// Each under its name.
    Both,
}

/// A text that is given on the command line, or as `-` on stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// The text itself.
    Given(String),
    /// It comes on stdin.
    Stdin,
}

/// What a token is to allow, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What its bearer may do.
    pub right: Right,
    /// From now on; nothing is for ever.
    pub lifetime: Option<Duration>,
}

/// What a token's bearer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// Listen to these channels.
    Subscribe(Vec<String>),
    /// Send this one message.
    Broadcast(Content),
    /// Send any message to channels that match.
    Publish(Vec<String>),
}

/// A channel and what goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The channel's name.
    pub channel: String,
    /// How its message is made.
    pub message: Message,
}

/// How a message is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `{"event":…,"data":…}`, where data is a string or left out.
    Event {
        /// The event's name.
        event: String,
        /// The data.
        data: Option<Text>,
    },
    /// A JSON object, sent as it is written.
    Json(Text),
}

/// `bifrost broadcast`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// What is sent, and where.
    pub content: Content,
    /// Once, or for each line.
    pub times: Times,
}

/// How often a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// One message.
    Once,
    /// One for each line on stdin.
    EachLine,
}

/// `bifrost listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What is shown to the server.
    pub credentials: Credentials,
    /// How messages are printed.
    pub form: Form,
    /// After so many messages it is enough.
    pub count: Option<u64>,
}

/// What a subscriber shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A token for these channels, which we sign ourselves.
    Channels(Vec<String>),
    /// A token that somebody else has signed; the file's name, or `-` for stdin.
    TokenFile(String),
}

/// How a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// On one line, whatever line breaks are in it.
    Line,
    /// To the byte.
    Raw,
}

/// What a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Whether it takes new subscribers.
    Ready,
    /// Whether it serves at all.
    Alive,
}
