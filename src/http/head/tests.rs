//! Heads that are accepted and rejected.

use super::*;
use crate::protocol::limits::{MAX_HEAD, MAX_REQUEST_LINE};

fn parse(head: &str) -> Result<Option<(Head, usize)>, HttpError> {
    Head::parse(head.as_bytes())
}

fn status(head: &str) -> u16 {
    parse(head).expect_err("an error").status.code()
}

fn whole(head: &str) -> Head {
    parse(head).expect("a head").expect("a whole head").0
}

#[test]
fn a_usual_head_is_parsed() {
    let text = "POST /broadcast/?a=b HTTP/1.1\r\nhOsT: x\r\nContent-Length: 12\r\n\r\nrest";
    let (head, size) = parse(text).unwrap().unwrap();
    assert_eq!(
        (head.method, head.path.as_str()),
        (Method::Post, "/broadcast")
    );
    assert_eq!((head.framing, size), (Framing::Length(12), text.len() - 4));
}

#[test]
fn a_partial_head_is_waited_for() {
    for part in [
        "",
        "\r\n",
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r",
    ] {
        assert!(parse(part).unwrap().is_none(), "{part:?}");
    }
}

#[test]
fn paths_are_found_in_every_form_of_target() {
    for (target, expected) in [
        ("/", "/"),
        ("/?x", "/"),
        ("/info.json/", "/info.json"),
        ("/a?b=/c/", "/a"),
        ("http://h:1/healthz?x", "/healthz"),
        ("http://h", "/"),
        ("http://h?x", "/"),
        ("*", "*"),
        ("/r?u=http://x/y", "/r"),
    ] {
        assert_eq!(split_target(target).0, expected, "{target}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_rejected() {
    for lines in [
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 1",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 2",
        "Host: x\r\nContent-Length: 1, 1",
        "Host: x\r\nContent-Length: +1",
        "Host: x\r\nContent-Length: ",
        "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "Host: x\r\nTransfer-Encoding: chunked, chunked",
        "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Host: x\r\n folded",
        "Host: x\nA: b",
        "Host : x",
        "Host: a\0b",
        "Host: x\r\nHost: x",
        "Accept: */*",
    ] {
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")),
            400,
            "{lines:?}"
        );
    }
    assert_eq!(
        status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400
    );
    assert_eq!(status("\x16\x03\x01\x02"), 400);
    assert_eq!(status("GET /\r\n\r\n"), 400);
    for line in [
        "GET / FTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/x",
        "GET / HTTP/",
        "GET / HTTP/.",
        "GET / 1.1",
    ] {
        assert_eq!(status(&format!("{line}\r\nHost: x\r\n\r\n")), 400, "{line}");
    }
    for host in ["a b", "a/b", "u@a", "a, b", "na\u{ef}ve"] {
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            400,
            "{host}"
        );
    }
}

#[test]
fn unknown_codings_versions_and_expectations_have_their_status() {
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
        501
    );
    for version in ["2.0", "2", "0.9", "1.2"] {
        assert_eq!(
            status(&format!("\r\nPRI * HTTP/{version}\r\n\r\n")),
            505,
            "{version}"
        );
    }
    let head = whole("GET / HTTP/1.1\r\nHost: x\r\nExpect: cake\r\n\r\n");
    assert_eq!(head.expects_continue().unwrap_err().status.code(), 417);
    let head = whole("GET / HTTP/1.1\r\nHost: x\r\nExpect:\r\n\r\n");
    assert_eq!(head.expects_continue(), Ok(false));
}

#[test]
fn limits_hold_before_the_end_has_arrived() {
    assert_eq!(
        status(&format!("GET /{}", "x".repeat(MAX_REQUEST_LINE))),
        414
    );
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(MAX_HEAD))),
        431
    );
    let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
    let most = "A: b\r\n".repeat(MAX_HEADERS - 1);
    whole(&format!("GET / HTTP/1.1\r\nHost: x\r\n{most}\r\n"));
}

#[test]
fn input_beyond_a_limit_does_not_change_the_status() {
    let line = format!("GET /{}\n", "x".repeat(2 * MAX_REQUEST_LINE));
    assert_eq!(status(&line), 414);
    let head = format!("GET / HTTP/1.1\r\nA: {}\n", "x".repeat(MAX_HEAD));
    assert_eq!(status(&head), 431);
    let empty_lines = "\r\n".repeat(MAX_HEAD / 3);
    assert_eq!(status(&format!("{empty_lines}{line}")), 431);
}

#[test]
fn keep_alive_follows_the_version() {
    assert!(whole("GET / HTTP/1.1\r\nHost: x\r\n\r\n").wants_more());
    assert!(!whole("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, CLOSE\r\n\r\n").wants_more());
    assert!(!whole("GET / HTTP/1.0\r\n\r\n").wants_more());
    assert!(whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").wants_more());
    assert!(!whole("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n").wants_more());
}

#[test]
fn headers_may_hold_text_outside_ascii() {
    let head = "GET / HTTP/1.1\r\nHost: x\r\nCookie: na\u{ef}ve\r\n\r\n";
    whole(head);
    let head = whole("GET / HTTP/1.1\r\nHost: x\r\nOrigin: na\u{ef}ve\r\n\r\n");
    assert_eq!(head.header("Origin"), Some("na??ve"));
}

#[test]
fn every_header_and_the_query_can_be_asked_for() {
    let head = whole("GET /a/?x=1&y=a%20b&x=2 HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n");
    assert_eq!(head.header("accept"), Some("a/b"));
    assert_eq!(head.query.as_deref(), Some("x=1&y=a%20b&x=2"));
    assert_eq!(head.query_value("x").as_deref(), Some("1"));
    assert_eq!(head.query_value("y").as_deref(), Some("a b"));
    assert_eq!(head.query_value("z"), None);
    assert_eq!(whole("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").query, None);
}
