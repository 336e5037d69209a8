//! Reports on tokens, and whether the server's verifier agrees with them.

use super::*;
use crate::auth::sign;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

fn settings() -> ServerSettings {
    ServerSettings {
        secret: Some(Secret::new(vec![b'x'; 64])),
        previous: None,
        algorithm: Algorithm::HS512,
        max_body: 1 << 20,
        now: SystemTime::now(),
    }
}

fn signed(claims: &Value) -> String {
    sign(claims, &Secret::new(vec![b'x'; 64]), Algorithm::HS512).unwrap()
}

/// Why it is refused, one line each.
fn refusals(token: &str) -> String {
    let text = Report::of(token, &settings()).to_string();
    let lines = text.lines().filter_map(|line| line.strip_prefix("refused"));
    lines.map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn every_reason_is_told_at_once() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","crit":["b64"]}"#);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1,"nbf":"x","channels":[""]}"#);
    let told = refusals(&format!("{header}.{claims}.a=="));
    for words in [
        "crit",
        "HS256",
        "expired",
        "nbf is not",
        "channel is empty",
        "padding",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_good_use_is_enough() {
    let token = signed(&json!({"channels": ["a"], "channel": "b"}));
    let report = Report::of(&token, &settings());
    assert_eq!(report.verdict(), Verdict::Accepted);
    assert!(refusals(&token).contains("message is missing"));
    assert_eq!(refusals(&signed(&json!({"channels": ["a"]}))), "");
}

#[test]
fn the_report_says_which_secret_has_signed() {
    let token = signed(&json!({"channels": ["a"]}));
    let rotated = |previous: u8| ServerSettings {
        secret: Some(Secret::new(vec![b'y'; 64])),
        previous: Some(Secret::new(vec![previous; 65])),
        ..settings()
    };
    let mut server = rotated(b'x');
    server.previous = Some(Secret::new(vec![b'x'; 64]));
    let report = Report::of(&token, &server);
    assert_eq!(report.verdict(), Verdict::Accepted);
    assert!(report.to_string().contains("good: the previous secret"));
    let report = Report::of(&token, &rotated(b'z'));
    assert_eq!(report.verdict(), Verdict::Rejected);
    assert!(
        report
            .to_string()
            .contains("64 bytes, nor with the previous one of 65 bytes")
    );
}

#[test]
fn depth_is_counted_as_the_server_does() {
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (levels, verdict) in [(127, Verdict::Accepted), (128, Verdict::Rejected)] {
        let claims = format!(r#"{{"channels":["a"],"x":{}}}"#, deep(levels));
        let claims = RawValue::from_string(claims).unwrap();
        let secret = settings().secret.unwrap();
        let token = sign(&claims, &secret, Algorithm::HS512).unwrap();
        assert_eq!(
            Report::of(&token, &settings()).verdict(),
            verdict,
            "{levels}"
        );
    }
}

#[test]
fn without_a_secret_no_token_is_accepted() {
    let server = ServerSettings {
        secret: None,
        ..settings()
    };
    let report = Report::of(&signed(&json!({"channels": []})), &server);
    assert_eq!(report.verdict(), Verdict::Unknown);
    let report = Report::of(&signed(&json!({"exp": 1, "channels": []})), &server);
    assert_eq!(report.verdict(), Verdict::Rejected);
}

fn time() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!(9e9)),
        Just(json!("1"))
    ]
}

proptest! {
    /// What the report finds wrong is what the server's verifier refuses, and nothing is
    /// refused for a reason that the report does not know.
    #[test]
    fn the_report_agrees_with_the_verifier(
        exp in time(),
        nbf in time(),
        is_array in any::<bool>(),
        cut in prop::option::of((0_usize..400, "[a-zA-Z0-9_.=+-]")),
    ) {
        let claims = if is_array {
            json!([exp, nbf])
        } else {
            json!({"exp": exp, "nbf": nbf, "channels": ["a"]})
        };
        let mut token = signed(&claims);
        if let Some((at, with)) = cut {
            let at = at % token.len();
            token.replace_range(at..=at, &with);
        }
        let server = settings();
        let verifier = Verifier::new(server.secret.as_ref().unwrap(), server.algorithm);
        let verified = verifier.verify(&token);
        let is_accepted = verified.is_ok_and(|verified| verified.claims(server.now).is_ok());
        let report = Report::of(&token, &server);
        prop_assert_eq!(report.verdict() == Verdict::Accepted, is_accepted, "{}", report);
        prop_assert!(!report.to_string().contains("though nothing seems wrong"));
    }

    #[test]
    fn no_text_makes_it_panic(token in "\\PC{0,60}") {
        let _ = Report::of(&token, &settings()).to_string();
    }
}
