//! RFC 6455 on the wire: control frames, closing, and everything a client must not send.

use crate::support::raw::{
    BINARY, CLOSE, PING, PONG, RawSocket, TEXT, close_payload, frame_head, masked,
};
use crate::support::server::Server;
use crate::support::token;

/// A first byte without FIN.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

const JSON_PING: &str = r#"{"event":"ping"}"#;

/// Asserts that these bytes are answered with this close code, and that the connection then ends.
#[track_caller]
fn expect_fatal(server: &Server, bytes: &[u8], code: u16) {
    let mut raw = server.raw();
    raw.http.send(bytes);
    raw.expect_close(code);
    raw.http.try_send(masked(CLOSE, close_payload(code, "")));
    raw.expect_end();
}

#[test]
fn ping_frame_is_answered_with_its_payload() {
    let server = Server::start();
    let mut raw = server.raw();
    for payload in [&b""[..], b"hello", b"\0\xff\xfe", &[b'x'; 125]] {
        raw.send(PING, payload);
        raw.expect_frame(PONG, payload);
    }
    raw.authenticate(&token::subscriber(&["a"]));
    raw.expect_confirmed(&["a"]);
    raw.send(PING, "again");
    raw.expect_frame(PONG, "again");
}

#[test]
fn unsolicited_pong_is_ignored() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.send(PONG, "nobody asked");
    raw.expect_nothing();
}

#[test]
fn fragmented_text_is_one_message() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.send(TEXT_BEGINS, r#"{"eve"#)
        .send(CONTINUES, r#"nt":"#)
        .send(CONTINUES, "")
        .send(ENDS, r#""ping"}"#);
    raw.expect_pong();
    raw.send(TEXT_BEGINS, "").send(ENDS, JSON_PING);
    raw.expect_pong();
    let mut bytes = Vec::new();
    for (number, byte) in JSON_PING.bytes().enumerate() {
        bytes.extend(masked(
            if number == 0 { TEXT_BEGINS } else { CONTINUES },
            [byte],
        ));
    }
    bytes.extend(masked(ENDS, ""));
    raw.http.send(bytes);
    raw.expect_pong();
}

#[test]
fn frames_may_arrive_byte_by_byte() {
    let server = Server::start();
    let mut raw = server.raw();
    for byte in masked(TEXT, JSON_PING).into_iter().chain(masked(PING, "x")) {
        raw.http.send([byte]);
    }
    raw.expect_pong();
    raw.expect_frame(PONG, "x");
}

#[test]
fn many_frames_in_one_segment_are_all_answered() {
    let server = Server::start();
    let mut raw = server.raw_subscriber(&["a"]);
    raw.http.send(masked(TEXT, JSON_PING).repeat(500));
    (0..500).for_each(|_| raw.expect_pong());
    raw.expect_nothing();
}

#[test]
fn control_frames_may_come_between_fragments() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.send(TEXT_BEGINS, r#"{"event":"#).send(PING, "now");
    raw.expect_frame(PONG, "now");
    raw.send(PONG, "").send(ENDS, r#""ping"}"#);
    raw.expect_pong();
}

#[test]
fn text_may_be_split_within_a_character() {
    let server = Server::start();
    let mut raw = server.raw();
    let text = r#"{"event":"ping","data":"é😀"}"#.as_bytes();
    for cut in text.len() - 8..text.len() {
        raw.send(TEXT_BEGINS, &text[..cut]).send(ENDS, &text[cut..]);
        raw.expect_pong();
    }
}

#[test]
fn message_of_64_kib_is_accepted() {
    let server = Server::start();
    let mut raw = server.raw();
    let padded = |length: usize| JSON_PING.to_owned() + &" ".repeat(length - JSON_PING.len());
    for length in [125, 126, 65_535, 65_536] {
        raw.send_text(&padded(length));
        raw.expect_pong();
    }
    let whole = padded(65_536);
    raw.send(TEXT_BEGINS, &whole[..40_000])
        .send(ENDS, &whole[40_000..]);
    raw.expect_pong();
    raw.send_text(&padded(65_537)).expect_close(1009);
}

#[test]
fn message_over_64_kib_closes_with_1009() {
    let server = Server::start();
    let long = [b' '; 65_537];
    expect_fatal(&server, &masked(TEXT, long), 1009);
    let fragments = [
        masked(TEXT_BEGINS, &long[..40_000]),
        masked(ENDS, &long[40_000..]),
    ]
    .concat();
    expect_fatal(&server, &fragments, 1009);
    let many = [
        masked(TEXT_BEGINS, ""),
        masked(CONTINUES, [b' '; 1000]).repeat(66),
    ]
    .concat();
    expect_fatal(&server, &many, 1009);
}

#[test]
fn length_over_64_kib_is_checked_before_the_frame_type() {
    let server = Server::start();
    let long = [0; 65_537];
    expect_fatal(&server, &masked(BINARY, long), 1009);
    let mut raw = server.raw();
    raw.send(BINARY, &long[..65_536]);
    raw.expect_close(1003);
}

#[test]
fn announced_length_over_64_kib_is_refused_before_the_payload_arrives() {
    let server = Server::start();
    for length in [65_537, 1 << 30, 1 << 40] {
        for first in [TEXT, BINARY] {
            let head = [frame_head(first, 0x80, length), vec![0; 4], vec![b' '; 10]].concat();
            expect_fatal(&server, &head, 1009);
        }
    }
}

#[test]
fn binary_frame_closes_with_1003() {
    let server = Server::start();
    expect_fatal(&server, &masked(BINARY, "hello"), 1003);
    expect_fatal(&server, &masked(BINARY, JSON_PING), 1003);
    expect_fatal(&server, &masked(BINARY, ""), 1003);
    expect_fatal(
        &server,
        &[masked(BINARY_BEGINS, "hel"), masked(ENDS, "lo")].concat(),
        1003,
    );
    let mut raw = server.raw_subscriber(&["a"]);
    raw.send(BINARY, [0, 1, 2]);
    raw.expect_close(1003);
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn unmasked_frame_is_a_protocol_error() {
    let server = Server::start();
    let unmasked = |first, payload: &str| {
        [frame_head(first, 0, payload.len() as u64), payload.into()].concat()
    };
    expect_fatal(&server, &unmasked(TEXT, JSON_PING), 1002);
    expect_fatal(&server, &unmasked(PING, ""), 1002);
    expect_fatal(&server, &unmasked(TEXT, ""), 1002);
}

#[test]
fn reserved_bits_are_a_protocol_error() {
    let server = Server::start();
    for bit in [0x40, 0x20, 0x10, 0x70] {
        expect_fatal(&server, &masked(TEXT | bit, JSON_PING), 1002);
        expect_fatal(&server, &masked(PING | bit, ""), 1002);
    }
}

#[test]
fn reserved_opcodes_are_a_protocol_error() {
    let server = Server::start();
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        expect_fatal(&server, &masked(0x80 | opcode, ""), 1002);
        expect_fatal(&server, &masked(0x80 | opcode, "hello"), 1002);
    }
}

#[test]
fn malformed_control_frames_are_a_protocol_error() {
    let server = Server::start();
    for control in [CLOSE, PING, PONG] {
        expect_fatal(&server, &masked(control & 0x0F, ""), 1002);
        expect_fatal(&server, &masked(control, [b'x'; 126]), 1002);
    }
}

#[test]
fn fragments_out_of_place_are_a_protocol_error() {
    let server = Server::start();
    expect_fatal(&server, &masked(ENDS, JSON_PING), 1002);
    expect_fatal(&server, &masked(CONTINUES, JSON_PING), 1002);
    expect_fatal(
        &server,
        &[masked(TEXT_BEGINS, "{"), masked(TEXT, JSON_PING)].concat(),
        1002,
    );
    expect_fatal(
        &server,
        &[masked(TEXT_BEGINS, "{"), masked(TEXT_BEGINS, "}")].concat(),
        1002,
    );
    expect_fatal(
        &server,
        &[masked(TEXT_BEGINS, "{"), masked(BINARY, "}")].concat(),
        1002,
    );
}

#[test]
fn protocol_error_ends_a_subscription() {
    let server = Server::start();
    let mut raw = server.raw_subscriber(&["a"]);
    raw.send(0x83, "");
    raw.expect_close(1002);
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn invalid_utf8_closes_with_1007() {
    let server = Server::start();
    for bytes in [
        &b"\xff"[..],
        b"{\"event\":\"\xc3\x28\"}",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"cut off \xe2\x82",
    ] {
        expect_fatal(&server, &masked(TEXT, bytes), 1007);
    }
}

#[test]
fn invalid_utf8_in_fragments_closes_with_1007() {
    let server = Server::start();
    expect_fatal(
        &server,
        &[masked(TEXT_BEGINS, b"ok \xc3"), masked(ENDS, b"\x28")].concat(),
        1007,
    );
    expect_fatal(
        &server,
        &[masked(TEXT_BEGINS, b"ok \xe2\x82"), masked(ENDS, b"")].concat(),
        1007,
    );
    expect_fatal(
        &server,
        &[
            masked(TEXT_BEGINS, b"ok"),
            masked(CONTINUES, b"\xff"),
            masked(ENDS, b""),
        ]
        .concat(),
        1007,
    );
}

/// Sends a close frame with this payload and returns the WebSocket, to read the answer from.
fn closed_with(server: &Server, payload: &[u8]) -> RawSocket {
    let mut raw = server.raw();
    raw.send(CLOSE, payload);
    raw
}

#[test]
fn close_frame_is_answered_with_its_code() {
    let server = Server::start();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4001,
        4999,
    ] {
        for reason in ["", "going away"] {
            let mut raw = closed_with(&server, &close_payload(code, reason));
            raw.expect_close(code);
            raw.expect_end();
        }
    }
    server.wait_connected(0);
}

#[test]
fn close_frame_without_a_code_is_answered_without_one() {
    let server = Server::start();
    let mut raw = closed_with(&server, b"");
    raw.expect_frame(CLOSE, "");
    raw.expect_end();
}

#[test]
fn close_frame_with_an_invalid_code_is_answered_with_1002() {
    let server = Server::start();
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let mut raw = closed_with(&server, &close_payload(code, ""));
        let frame = raw.next();
        assert_eq!(
            (frame.first, frame.payload.get(..2)),
            (CLOSE, Some(&1002u16.to_be_bytes()[..])),
            "{code}"
        );
        raw.expect_end();
    }
}

#[test]
fn malformed_close_frames_are_refused() {
    let server = Server::start();
    let mut raw = closed_with(&server, &[3]);
    raw.expect_close(1002);
    raw.expect_end();
    let mut raw = closed_with(
        &server,
        &[&close_payload(1000, "")[..], b"\xff\xfe"].concat(),
    );
    raw.expect_close(1007);
    raw.expect_end();
}

#[test]
fn frames_after_a_close_frame_are_ignored() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.http.send(
        [
            masked(CLOSE, close_payload(1000, "")),
            masked(TEXT, JSON_PING),
            vec![0xFF; 10],
        ]
        .concat(),
    );
    raw.expect_close(1000);
    raw.expect_end();
}

#[test]
fn closed_subscriber_gets_no_more_broadcasts() {
    let server = Server::start();
    let mut raw = server.raw_subscriber(&["a"]);
    raw.send(CLOSE, close_payload(1000, ""));
    raw.expect_close(1000);
    raw.expect_end();
    server.wait_connected(0);
    assert_eq!(server.broadcast("a", "{}"), 0);
}

#[test]
fn peer_that_does_not_answer_a_close_is_cut() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "300ms")]);
    let mut raw = server.raw();
    raw.authenticate("forged");
    assert_eq!(raw.expect_close(4001), "Not Authorized!");
    raw.expect_end();
    server.wait_connected(0);
}

#[test]
fn peer_that_keeps_sending_after_a_close_is_cut() {
    let server = Server::with(&[("BIFROST_WRITE_TIMEOUT", "300ms")]);
    let mut raw = server.raw();
    raw.authenticate("forged");
    raw.expect_close(4001);
    let chatter = masked(TEXT, JSON_PING);
    crate::support::eventually("the server hangs up", || {
        (!raw.http.try_send(&chatter)).then_some(())
    });
    server.wait_connected(0);
}
