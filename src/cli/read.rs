//! Parsed arguments as an [`Action`]: one function per command.

use std::time::Duration;

use clap::ArgMatches;
use clap_complete::Shell;

use super::action::{
    Action, Broadcast, Content, Credentials, Listen, ManPage, Message, OutputFormat, Probe, Repeat,
    TextSource, TokenKind, TokenRequest, Unit,
};

pub fn token_subscribe(matches: &ArgMatches) -> Action {
    token(matches, TokenKind::Subscriber(values(matches, "CHANNEL")))
}

pub fn token_broadcast(matches: &ArgMatches) -> Action {
    token(matches, TokenKind::Message(content(matches)))
}

pub fn token_publisher(matches: &ArgMatches) -> Action {
    token(matches, TokenKind::Publisher(values(matches, "PATTERN")))
}

pub fn token_inspect(matches: &ArgMatches) -> Action {
    Action::Inspect(text(matches, "TOKEN").unwrap_or(TextSource::Stdin))
}

pub fn broadcast(matches: &ArgMatches) -> Action {
    Action::Broadcast(Broadcast {
        content: content(matches),
        repeat: if matches.get_flag("lines") {
            Repeat::EachLine
        } else {
            Repeat::Once
        },
    })
}

pub fn listen(matches: &ArgMatches) -> Action {
    let file = matches.get_one::<String>("token-file");
    Action::Listen(Listen {
        credentials: match file {
            Some(path) => Credentials::TokenFile(path.clone()),
            None => Credentials::Channels(values(matches, "CHANNEL")),
        },
        format: if matches.get_flag("raw") {
            OutputFormat::Raw
        } else {
            OutputFormat::Line
        },
        count: matches.get_one("count").copied(),
    })
}

pub fn health(matches: &ArgMatches) -> Action {
    Action::Health(if matches.get_flag("live") {
        Probe::Live
    } else {
        Probe::Ready
    })
}

pub fn completions(matches: &ArgMatches) -> Action {
    let shell = matches.get_one::<Shell>("SHELL");
    Action::Completions(*shell.expect("it is required"))
}

pub fn man(matches: &ArgMatches) -> Action {
    let page = matches.get_one::<String>("PAGE").cloned();
    Action::Man(if matches.get_flag("list") {
        ManPage::List
    } else {
        page.map_or(ManPage::Commands, ManPage::Manual)
    })
}

pub fn unit(matches: &ArgMatches) -> Action {
    let unit = matches.get_one::<String>("UNIT").map(String::as_str);
    Action::Unit(match unit {
        Some("service") => Unit::Service,
        Some(_) => Unit::Socket,
        None => Unit::Both,
    })
}

fn token(matches: &ArgMatches, kind: TokenKind) -> Action {
    let lifetime = matches.get_one::<Option<Duration>>("expires");
    Action::Token(TokenRequest {
        kind,
        lifetime: *lifetime.expect("it has a default"),
    })
}

fn content(matches: &ArgMatches) -> Content {
    let channel = matches.get_one::<String>("CHANNEL");
    Content {
        channel: channel.expect("it is required").clone(),
        message: match text(matches, "json") {
            Some(json) => Message::Json(json),
            None => Message::Event {
                event: values(matches, "event").concat(),
                data: text(matches, "data"),
            },
        },
    }
}

fn text(matches: &ArgMatches, name: &str) -> Option<TextSource> {
    let given = matches.get_one::<String>(name)?;
    Some(match given.as_str() {
        "-" => TextSource::Stdin,
        text => TextSource::Argument(text.into()),
    })
}

fn values(matches: &ArgMatches, name: &str) -> Vec<String> {
    let values = matches.get_many::<String>(name);
    values.into_iter().flatten().cloned().collect()
}
