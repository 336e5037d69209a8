//! `bifrost listen`: messages are printed byte for byte on stdout, everything else on stderr, and
//! a lost connection is opened again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustix::process::Signal;
use tungstenite::Message;

use crate::support::free_address;
use crate::support::process::{Launch, Process};
use crate::support::raw::confirmation;
use crate::support::server::Server;
use crate::support::token::{self, SECRET};

/// Waits until it says that all its channels are confirmed.
fn wait_listening(process: &Process) {
    process.stderr.wait_for("listening to", |line| {
        line.contains("listening to").then_some(())
    });
}

fn listen(server: &Server, arguments: &[&str]) -> Process {
    let process = server.command(&["listen"]).args(arguments).spawn();
    wait_listening(&process);
    process
}

#[track_caller]
fn expect_lines(process: &Process, lines: &[&str]) {
    let last = lines[lines.len() - 1];
    process
        .stdout
        .wait_for(last, |line| (line == last).then_some(()));
    assert_eq!(process.stdout.so_far(), lines);
}

/// A TCP relay between a client and servers, which can drop its connections.
struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<RelayState>>,
}

struct RelayState {
    target: SocketAddr,
    open: Vec<TcpStream>,
}

impl Relay {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let open = Vec::new();
        let state = Arc::new(Mutex::new(RelayState { target, open }));
        let relay = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let target = relay.lock().target;
                let Ok(server) = TcpStream::connect(target) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (clone(from), clone(to));
                    thread::spawn(move || copy(from, to));
                }
                relay.lock().open.extend([client, server]);
            }
        });
        Self { address, state }
    }

    /// Drops every connection; later ones go to `target`.
    fn switch_to(&self, target: SocketAddr) {
        let mut state = self.state.lock();
        state.target = target;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both); // it may be gone
        }
    }

    fn listen(&self, arguments: &[&str]) -> Process {
        let launch = Launch::bare().env("JWT_SECRET", SECRET);
        let launch = launch.env("BIFROST_URL", format!("ws://{}", self.address));
        let process = launch.args(&["listen"]).args(arguments).spawn();
        wait_listening(&process);
        process
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("clone the socket")
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to); // until it is cut
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn messages_are_printed_as_they_are() {
    let server = Server::start();
    let process = listen(&server, &["user:1", "news"]);
    assert_eq!(
        server.broadcast("news", r#"{"z":1.0e2,"event":"\u00e4"}"#),
        1
    );
    assert_eq!(
        server.broadcast("user:1", r#"{"event":"hi","data":"you ✓"}"#),
        1
    );
    let lines = [
        r#"{"z":1.0e2,"event":"\u00e4"}"#,
        r#"{"event":"hi","data":"you ✓"}"#,
    ];
    expect_lines(&process, &lines);
}

#[test]
fn line_breaks_are_folded_unless_raw() {
    let server = Server::start();
    let (folded, raw) = (listen(&server, &["a"]), listen(&server, &["a", "--raw"]));
    assert_eq!(server.broadcast("a", "{\n\"event\":\"x\\n\"\r\n}"), 2);
    assert_eq!(server.broadcast("a", "{}"), 2);
    expect_lines(&folded, &["{ \"event\":\"x\\n\"  }", "{}"]);
    expect_lines(&raw, &["{", "\"event\":\"x\\n\"", "}", "{}"]);
}

#[test]
fn message_that_looks_like_a_confirmation_is_a_message() {
    let server = Server::start();
    let process = listen(&server, &["a"]);
    let message = r#"{"event":"subscribed","data":"{\"channel\":\"a\"}"}"#;
    assert_eq!(server.broadcast("a", message), 1);
    assert_eq!(server.broadcast("a", r#"{"event":"pong"}"#), 1);
    expect_lines(&process, &[message, r#"{"event":"pong"}"#]);
}

#[test]
fn signal_ends_it_with_a_closing_handshake() {
    let server = Server::with(&[("BIFROST_LOG", "debug")]);
    for signal in [Signal::INT, Signal::TERM] {
        let mut process = listen(&server, &["a"]);
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0));
        assert_eq!(process.stdout.all(), "");
    }
    server.stderr.wait_for("a close by the client", |line| {
        (line.contains("disconnected conn=1 ") && line.contains("client_closed")).then_some(())
    });
}

#[test]
fn count_ends_it() {
    let server = Server::start();
    let mut process = listen(&server, &["a", "--count", "2"]);
    for number in 0..3 {
        server.broadcast("a", &format!("{{\"n\":{number}}}"));
    }
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.stdout.all(), "{\"n\":0}\n{\"n\":1}\n");
}

#[test]
fn closed_output_ends_it_even_when_nothing_more_arrives() {
    let server = Server::start();
    let script = r#"{ "$BIFROST" listen a; echo "status $?" >&2; } | head -1"#;
    let mut process = server.command(&[]).script(script).spawn();
    wait_listening(&process);
    assert_eq!(server.broadcast("a", "{}"), 1);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.stdout.all(), "{}\n");
    let notes = process.stderr.all();
    assert!(notes.contains("status 0"), "{notes}");
    server.wait_connected(0);
}

#[test]
fn pings_are_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let shown = socket.read().expect("a token");
        assert!(shown.is_text(), "{shown:?}");
        socket
            .send(Message::text(confirmation("a")))
            .expect("confirm");
        socket.send(Message::Ping("x".into())).expect("ping");
        let pong = socket.read().expect("a pong");
        let text = format!(r#"{{"is_pong":{}}}"#, pong == Message::Pong("x".into()));
        socket.send(Message::text(text)).expect("tell");
        let _ = socket.read(); // until it is gone
    });
    let launch = Launch::bare().env("JWT_SECRET", SECRET);
    let mut process = launch
        .args(&["listen", "a", "--count", "1", "--url", &url])
        .spawn();
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.stdout.all(), "{\"is_pong\":true}\n");
}

#[test]
fn lost_connection_is_opened_again() {
    let (first, second) = (Server::start(), Server::start());
    let relay = Relay::to(first.address);
    let process = relay.listen(&["a", "b"]);
    assert_eq!(first.broadcast("a", r#"{"n":1}"#), 1);
    process
        .stdout
        .wait_for("the first", |line| (line == r#"{"n":1}"#).then_some(()));
    relay.switch_to(second.address);
    process
        .stderr
        .wait_for("a note", |line| line.contains("trying again").then_some(()));
    second.wait_connected(1);
    crate::support::eventually("it is subscribed", || {
        (second.broadcast("b", r#"{"n":2}"#) == 1).then_some(())
    });
    expect_lines(&process, &[r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[test]
fn restart_of_the_server_is_noted_and_waited_for() {
    let server = Server::start();
    let mut process = listen(&server, &["a"]);
    server.signal(Signal::TERM);
    process.stderr.wait_for("a note", |line| {
        (line.contains("1012 Service restart") && line.contains("trying again")).then_some(())
    });
    process.stderr.wait_for("a second attempt", |line| {
        line.contains("is the server running").then_some(())
    });
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn refused_token_is_an_error_and_not_tried_again() {
    let server = Server::start();
    let command = server.command(&["listen", "a"]);
    let outcome = command.env("JWT_SECRET", SECRET.to_uppercase()).run();
    outcome.expect_refusal(1, &["4001", "Not Authorized!", "secret"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn token_that_is_refused_later_is_an_error_too() {
    let first = Server::start();
    let other = Server::with(&[("JWT_SECRET", &SECRET.to_uppercase())]);
    let relay = Relay::to(first.address);
    let mut process = relay.listen(&["a"]);
    relay.switch_to(other.address);
    assert_eq!(process.wait().code(), Some(1));
    let notes = process.stderr.all();
    assert!(
        notes.contains("trying again") && notes.contains("4001"),
        "{notes}"
    );
}

#[test]
fn first_connection_that_fails_is_an_error() {
    let address = free_address();
    let launch = Launch::bare()
        .env("JWT_SECRET", SECRET)
        .env("PORT", address.port().to_string());
    let outcome = launch.args(&["listen", "a"]).run();
    outcome.expect_refusal(1, &[&address.to_string(), "is the server running"]);
}

#[test]
fn what_does_not_speak_websocket_is_an_error() {
    for (answer, words) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            "404",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no WebSocket"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]); // whatever it is
            stream.write_all(answer).expect("answer");
            let _ = stream.read(&mut [0; 4096]); // until it is gone
        });
        let launch = Launch::bare().env("JWT_SECRET", SECRET);
        let outcome = launch.args(&["listen", "a", "--url", &url]).run();
        outcome.expect_refusal(1, &[words, &url[5..]]);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn rejected_handshake_is_an_error() {
    let server = Server::with(&[("BIFROST_MAX_CONNECTIONS", "1")]);
    let _place = server.subscriber(&["a"]);
    let outcome = server.command(&["listen", "a"]).run();
    outcome.expect_refusal(1, &["503", "the server is full"]);
}

#[test]
fn token_file_is_used() {
    let server = Server::start();
    let signed = token::subscriber(&["a", "b"]);
    let command = || {
        server
            .command(&["listen", "--count", "1"])
            .without("JWT_SECRET")
    };
    let from_file = command()
        .file("t", format!("{signed}\n"))
        .args(&["--token-file", "t"])
        .spawn();
    let from_stdin = command()
        .input(&signed)
        .args(&["--token-file", "-"])
        .spawn();
    for process in [&from_file, &from_stdin] {
        wait_listening(process);
    }
    assert_eq!(server.broadcast("b", "{}"), 2);
    for mut process in [from_file, from_stdin] {
        assert_eq!(process.wait().code(), Some(0));
        assert_eq!(process.stdout.all(), "{}\n");
    }
    let none = command().args(&["--token-file", "none"]).run();
    none.expect_refusal(1, &["none"]);
    let empty = command()
        .input("nonsense")
        .args(&["--token-file", "-"])
        .run();
    empty.expect_refusal(1, &["no channels"]);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let server = Server::start();
    let many: Vec<String> = (0..129).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for arguments in [
        &[][..],
        &[""],
        &["a", "--count", "0"],
        &["a", "--token-file", "t"],
        &["a", "--url", "wss://example.com"],
        &many,
    ] {
        server
            .command(&["listen"])
            .args(arguments)
            .run()
            .expect_refusal(2, &[]);
    }
}
