//! What was typed, as an [`Action`]: one function per command.

use std::time::Duration;

use clap::ArgMatches;
use clap_complete::Shell;

use super::action::{
    Action, Broadcast, Content, Credentials, Form, Grant, Listen, ManPage, Message, Probe, Right,
    Text, Times, Unit,
};

pub fn token_subscribe(matches: &ArgMatches) -> Action {
    token(matches, Right::Subscribe(all(matches, "CHANNEL")))
}

pub fn token_broadcast(matches: &ArgMatches) -> Action {
    token(matches, Right::Broadcast(content(matches)))
}

pub fn token_publisher(matches: &ArgMatches) -> Action {
    token(matches, Right::Publish(all(matches, "PATTERN")))
}

pub fn token_inspect(matches: &ArgMatches) -> Action {
    Action::Inspect(text(matches, "TOKEN").unwrap_or(Text::Stdin))
}

pub fn broadcast(matches: &ArgMatches) -> Action {
    Action::Broadcast(Broadcast {
        content: content(matches),
        times: match matches.get_flag("lines") {
            true => Times::EachLine,
            false => Times::Once,
        },
    })
}

pub fn listen(matches: &ArgMatches) -> Action {
    let file = matches.get_one::<String>("token-file");
    Action::Listen(Listen {
        credentials: match file {
            Some(path) => Credentials::TokenFile(path.clone()),
            None => Credentials::Channels(all(matches, "CHANNEL")),
        },
        form: match matches.get_flag("raw") {
            true => Form::Raw,
            false => Form::Line,
        },
        count: matches.get_one("count").copied(),
    })
}

pub fn health(matches: &ArgMatches) -> Action {
    Action::Health(match matches.get_flag("live") {
        true => Probe::Alive,
        false => Probe::Ready,
    })
}

pub fn completions(matches: &ArgMatches) -> Action {
    let shell = matches.get_one::<Shell>("SHELL");
    Action::Completions(*shell.expect("clap has seen to it"))
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

fn token(matches: &ArgMatches, right: Right) -> Action {
    let lifetime = matches.get_one::<Option<Duration>>("expires");
    Action::Token(Grant {
        right,
        lifetime: *lifetime.expect("it has a default"),
    })
}

fn content(matches: &ArgMatches) -> Content {
    let channel = matches.get_one::<String>("CHANNEL");
    Content {
        channel: channel.expect("clap has seen to it").clone(),
        message: match text(matches, "json") {
            Some(json) => Message::Json(json),
            None => Message::Event {
                event: all(matches, "event").concat(),
                data: text(matches, "data"),
            },
        },
    }
}

fn text(matches: &ArgMatches, name: &str) -> Option<Text> {
    let given = matches.get_one::<String>(name)?;
    Some(match given.as_str() {
        "-" => Text::Stdin,
        text => Text::Given(text.into()),
    })
}

fn all(matches: &ArgMatches, name: &str) -> Vec<String> {
    let values = matches.get_many::<String>(name);
    values.into_iter().flatten().cloned().collect()
}
