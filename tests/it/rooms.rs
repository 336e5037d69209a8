//! Which room of `src/` may import which, held against every source file.
//!
//! The rules: a room imports only what stands below it (the table in `rules.rs`), no two files of
//! one room import each other, `net` and `hub` know no HTTP, JSON, WebSocket or token,
//! and tiny_http stays in one file. The other tests here try the rules on made-up trees.

mod imports;
mod rules;

use std::fs;
use std::path::Path;

use rules::{ALLOWED, violations};

/// Every `.rs` file below a folder, by its path from the root of the repository.
fn read_sources(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("list a folder of sources") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            read_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("read a source file");
            let path = path
                .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                .expect("it is below");
            files.push((path.to_str().expect("paths are UTF-8").into(), text));
        }
    }
    files.sort();
}

#[test]
fn rooms_import_only_what_stands_below_them() {
    let mut files = Vec::new();
    read_sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.iter().any(|(path, _)| path == "src/hub/mod.rs"));
    files.retain(|(path, _)| path != "src/manual/build.rs"); // a program of its own
    let found = violations(&files);
    assert!(
        found.is_empty(),
        "{} violations:\n{}\n\nA room may import itself and what comes after it in its line:\n{ALLOWED}",
        found.len(),
        found.join("\n")
    );
}

/// What breaks a rule in a tree of files, which are pairs of path and text.
fn check(files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).into(), (*text).into()));
    violations(&files.collect::<Vec<_>>())
}

#[test]
fn imports_that_point_down_or_stay_inside_are_allowed() {
    let found = check(&[
        (
            "src/main.rs",
            "use bifrost::cli; fn main() { crate::anything(); }",
        ),
        ("src/lib.rs", "pub mod cli; pub mod hub; pub use hub::Hub;"),
        (
            "src/cli/mod.rs",
            "mod help; use crate::server::run; use help::text; use std::fs;",
        ),
        ("src/cli/help.rs", "use crate::telemetry::log;"),
        ("src/server/mod.rs", "pub fn run() { crate::hub::start(); }"),
        (
            "src/hub/mod.rs",
            "mod queue; pub use queue::Queue; pub(crate) struct Hub(pub(super) u8);",
        ),
        (
            "src/hub/queue.rs",
            "use bytes::Bytes; use crate::net::{self, socket::{Socket, poll}};",
        ),
        (
            "src/net/mod.rs",
            "pub mod socket; use tungstenite::bytes::Bytes;",
        ),
        (
            "src/net/socket.rs",
            "/// Not `crate::hub`.\nconst TEXT: &str = \"crate::hub\"; // crate::hub",
        ),
        ("src/telemetry/mod.rs", "pub mod log;"),
        ("src/http/response.rs", "use tiny_http::Response;"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn imports_that_point_up_are_found_in_every_spelling() {
    for text in [
        "use crate::server::State;",
        "use crate::{hub::Hub, server::{State as S}};",
        "use crate::server::{self};",
        "fn f() -> impl Sized + use<> { crate::server::State }",
        "pub use crate::server::*;",
        "fn f() { crate::server::State::new(); }",
        "fn f() { log!(\"{}\", crate::server::NAME); }",
        "macro_rules! m { () => { $crate::server::NAME } }",
        "impl From<crate::server::State> for X {}",
        "struct Pair<A>(pub crate::server::State, A);",
        "use super::server::State;",
        "mod inner { use super::super::server::State; }",
    ] {
        let found = check(&[("src/api/mod.rs", &format!("\n{text}"))]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let start = "src/api/mod.rs:2: api may not import server (crate::server";
        assert!(found[0].starts_with(start), "{text}: {found:?}");
    }
}

#[test]
fn each_line_of_a_nested_import_is_named() {
    let text = "use crate::{\n    net::socket,\n    api::Routes,\n    config::Config,\n};";
    assert_eq!(
        check(&[("src/http/mod.rs", text)]),
        [
            "src/http/mod.rs:3: http may not import api (crate::api::Routes)",
            "src/http/mod.rs:4: http may not import config (crate::config::Config)",
        ]
    );
}

#[test]
fn tests_may_import_anything() {
    let found = check(&[
        (
            "src/net/mod.rs",
            "#[cfg(test)] mod samples; #[cfg(test)] use crate::{hub, cli::Help};\n\
             #[cfg(test)] mod tests { use super::*; use crate::server::State; use serde::Serialize; }\n\
             #[cfg(test)] #[allow(dead_code)] fn f() { crate::server::run(); }",
        ),
        ("src/net/samples.rs", "use crate::server::State;"),
        ("src/net/permit/tests.rs", "use crate::server::State;"),
    ]);
    assert_eq!(found, [""; 0]);
    let found = check(&[(
        "src/net/mod.rs",
        "#[cfg(test)] use crate::{hub, cli::Help}; use crate::api;\n#[cfg(unix)] use crate::http;",
    )]);
    assert_eq!(
        found,
        [
            "src/net/mod.rs:1: net may not import api (crate::api)",
            "src/net/mod.rs:2: net may not import http (crate::http)",
        ]
    );
}

#[test]
fn folder_that_is_not_in_the_table_is_found() {
    assert_eq!(
        check(&[("src/util/text.rs", ""), ("src/shared.rs", "")]),
        [
            "src/util/text.rs:1: util is not a room of the table",
            "src/shared.rs:1: shared is not a room of the table",
        ]
    );
    assert_eq!(
        check(&[("src/net/mod.rs", "use crate::Thing;")]),
        ["src/net/mod.rs:1: crate::Thing is in no room of the table"]
    );
}

#[test]
fn two_files_that_import_each_other_are_found() {
    let found = check(&[
        (
            "src/hub/mod.rs",
            "mod queue;\npub use queue::Queue;\npub struct Hub;",
        ),
        ("src/hub/queue.rs", "use super::Hub;"),
    ]);
    let way = "src/hub/mod.rs:2 -> src/hub/queue.rs:1 -> src/hub/mod.rs";
    assert_eq!(found, [format!("{way}: files of one room in a circle")]);
}

#[test]
fn circle_of_three_files_is_found_once() {
    let found = check(&[
        ("src/net/mod.rs", "mod a; mod b; mod c;"),
        ("src/net/a.rs", "use crate::net::b::B;"),
        ("src/net/b/mod.rs", "fn f() { super::c::g() }"),
        ("src/net/c.rs", "use std::fs;\nuse crate::net::a;"),
    ]);
    let way = "src/net/a.rs:1 -> src/net/b/mod.rs:1 -> src/net/c.rs:2 -> src/net/a.rs";
    assert_eq!(found, [format!("{way}: files of one room in a circle")]);
}

#[test]
fn file_may_import_itself_and_a_neighbour_that_does_not_look_back() {
    let found = check(&[
        (
            "src/net/mod.rs",
            "mod a; pub use a::A; mod inner { pub fn f() {} } use inner::f;",
        ),
        (
            "src/net/a.rs",
            "use self::Kind::*; use super::b::B; pub enum Kind { A }",
        ),
        ("src/net/b.rs", "mod x { fn f() { super::g() } }"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn rooms_without_http_json_and_tokens_mention_none() {
    for text in [
        "use serde::Serialize;",
        "#[serde(transparent)] struct X;",
        "fn f() { serde_json::to_string(&1); }",
        "use tungstenite::Message;",
        "use {std::fs, httparse::Request};",
        "use jsonwebtoken as jwt;",
        "fn f() -> ::tiny_http::Method {}",
    ] {
        for room in ["net", "hub"] {
            let found = check(&[(&format!("src/{room}/mod.rs"), text)]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            let start = format!("src/{room}/mod.rs:1: {room} may not mention ");
            assert!(found[0].starts_with(&start), "{text}: {found:?}");
        }
    }
}

#[test]
fn tiny_http_is_found_outside_its_file() {
    let found = check(&[
        ("src/http/head.rs", "use tiny_http::Method;"),
        ("src/main.rs", "\nfn f(_: tiny_http::Header) {}"),
    ]);
    assert_eq!(
        found,
        [
            "src/http/head.rs:1: tiny_http is for src/http/response.rs alone",
            "src/main.rs:2: tiny_http is for src/http/response.rs alone",
        ]
    );
}

#[test]
fn text_that_is_no_rust_is_an_error() {
    let found = check(&[("src/net/mod.rs", "fn f( {")]);
    assert_eq!(
        found,
        ["src/net/mod.rs:1: cannot parse string into token stream"]
    );
}
