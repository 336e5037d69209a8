//! Everything that can be said about a token, and how a server would decide.

use std::borrow::Cow;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::content::{self, Claims, Size, Use};
use super::form::{self, Parts};
use super::signature::{self, Signature};
use super::times;
use crate::json;
use crate::token::{Algorithm, Secret, Verifier};

/// Most that is shown of what is not JSON, in characters.
const EXCERPT: usize = 200;

/// The server whose decision is told.
pub struct Judge {
    /// Its secret, if we have it.
    pub secret: Option<Secret>,
    /// The secret before, if it still takes that.
    pub previous: Option<Secret>,
    /// Its only algorithm.
    pub algorithm: Algorithm,
    /// Its largest body, in bytes.
    pub max_body: usize,
    /// Its clock.
    pub now: SystemTime,
}

/// How a server would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused,
    /// Nothing is wrong, but the signature was not checked.
    Unknown,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    header: Option<String>,
    claims: Option<String>,
    times: Vec<(&'static str, String)>,
    uses: Vec<Use>,
    signature: Option<String>,
    is_unchecked: bool,
    /// Why it would be refused, whatever it is used for.
    refusals: Vec<String>,
}

impl Report {
    /// Looks at everything that can be looked at, even when something before it is wrong.
    pub fn of(token: &str, judge: &Judge) -> Report {
        let mut report = Report::default();
        let parts = match form::split(token) {
            Ok(parts) => parts,
            Err(why) => {
                report.refusals.push(why);
                return report;
            }
        };
        report.look(parts, token, judge);
        if report.refusals.is_empty() && report.contradicts(token, judge) {
            let why = "a server with these settings refuses it, though nothing seems wrong";
            report.refusals.push(why.into());
        }
        report
    }

    /// How a server would decide. One use that is good is enough.
    pub fn verdict(&self) -> Verdict {
        let is_of_use = self.uses.iter().any(|part| part.fault.is_none());
        match (self.refusals.is_empty() && is_of_use, self.is_unchecked) {
            (false, _) => Verdict::Refused,
            (true, false) => Verdict::Taken,
            (true, true) => Verdict::Unknown,
        }
    }

    fn look(&mut self, parts: Parts<'_>, token: &str, judge: &Judge) {
        let header = self.keep(form::decode(parts.header, "header"));
        let claims = self.keep(form::decode(parts.claims, "claims"));
        let signature = self.keep(form::decode(parts.signature, "signature"));
        self.header = header.as_deref().map(shown);
        self.claims = claims.as_deref().map(shown);
        let named = header
            .as_deref()
            .and_then(|header| self.look_at_header(header, judge));
        if let Some(claims) = &claims {
            let size = Size {
                token: token.len(),
                max_body: judge.max_body,
            };
            self.look_at_claims(claims, size, judge);
        }
        let is_readable = claims.is_some() && signature.is_some();
        self.look_at_signature(token, named.filter(|_| is_readable), judge);
    }

    fn keep<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|why| self.refusals.push(why)).ok()
    }

    /// The algorithm that the header names, if it is one of ours and nothing else is asked.
    fn look_at_header(&mut self, header: &[u8], judge: &Judge) -> Option<Algorithm> {
        #[derive(Deserialize)]
        struct Jose<'a> {
            #[serde(borrow)]
            alg: Cow<'a, str>,
            crit: Option<IgnoredAny>,
        }
        let parsed = serde_json::from_slice::<Jose>(header)
            .map_err(|error| format!("the header is no JSON object with an alg: {error}"));
        let jose = self.keep(parsed)?;
        if jose.crit.is_some() {
            let why = "the header has crit: extensions that must be understood are not";
            self.refusals.push(why.into());
        }
        let named = jose.alg.parse::<Algorithm>().ok();
        if named != Some(judge.algorithm) {
            let (alg, wanted) = (&jose.alg, judge.algorithm);
            let cure = "sign with that, or set JWT_ALGORITHM";
            self.refusals.push(format!(
                "alg is {alg:?}, where JWT_ALGORITHM is {wanted:?}; {cure}"
            ));
        }
        named.filter(|_| jose.crit.is_none())
    }

    fn look_at_signature(&mut self, token: &str, named: Option<Algorithm>, judge: &Judge) {
        let checked = match (&judge.secret, named) {
            (None, _) => {
                Signature::Unchecked("there is no secret; set JWT_SECRET or JWT_SECRET_FILE")
            }
            (Some(_), None) => Signature::Unchecked("header, claims or signature forbid it"),
            (Some(secret), Some(named)) => {
                signature::check(token, named, secret, judge.previous.as_ref())
            }
        };
        self.is_unchecked = matches!(checked, Signature::Unchecked(_));
        self.signature = Some(match checked {
            Signature::Good => "good: this secret has signed it".into(),
            Signature::OfPrevious => {
                "good: the previous secret has signed it, not this one; refused once that is gone"
                    .into()
            }
            Signature::Unchecked(why) => format!("not checked: {why}"),
            Signature::Wrong(why) => {
                self.refusals.push(format!("the signature is wrong: {why}"));
                "wrong".into()
            }
        });
    }

    fn look_at_claims(&mut self, text: &[u8], size: Size, judge: &Judge) {
        if json::depth(text) > json::MAX_DEPTH {
            let limit = json::MAX_DEPTH;
            self.refusals
                .push(format!("the claims are nested over {limit} levels deep"));
        }
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let parsed = match is_object {
            true => serde_json::from_slice::<Claims>(text).map_err(|error| error.to_string()),
            false => Err("it begins with something else than {".into()),
        };
        let parsed = parsed.map_err(|why| format!("the claims are no JSON object: {why}"));
        let Some(claims) = self.keep(parsed) else {
            return;
        };
        self.look_at_times(&claims, text, judge);
        self.uses = content::uses(&claims, size);
        if self.uses.is_empty() {
            let why = "it is good for nothing: it has none of channels (to subscribe), channel and \
                       message (to broadcast), and broadcast (to publish)";
            self.refusals.push(why.into());
        }
    }

    fn look_at_times(&mut self, claims: &Claims<'_>, text: &[u8], judge: &Judge) {
        #[derive(Deserialize)]
        struct Issued {
            iat: f64,
        }
        let since = judge.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = since.as_secs_f64();
        if let Some(exp) = self.number("exp", claims.exp) {
            self.times.push(("exp", times::expiry(exp, now)));
            if exp < since.as_secs() as f64 {
                self.refusals.push("it has expired".into());
            }
        }
        if let Some(nbf) = self.number("nbf", claims.nbf) {
            self.times.push(("nbf", times::beginning(nbf, now)));
            if nbf > now {
                self.refusals
                    .push("it is not good yet; are both clocks right?".into());
            }
        }
        if let Ok(Issued { iat }) = serde_json::from_slice(text) {
            self.times.push(("iat", times::issue(iat, now)));
        }
    }

    fn number(&mut self, name: &str, claim: Option<&RawValue>) -> Option<f64> {
        let number = serde_json::from_str(claim?.get());
        self.keep(number.map_err(|_| format!("{name} is not a number of seconds since 1970")))
    }

    /// Whether the server's own verifier says no.
    fn contradicts(&self, token: &str, judge: &Judge) -> bool {
        let Some(secret) = &judge.secret else {
            return false;
        };
        let verifier = Verifier::new(secret, judge.algorithm);
        let verified = verifier.or_previous(judge.previous.as_ref()).verify(token);
        !verified.is_ok_and(|verified| verified.claims(judge.now).is_ok())
    }
}

/// JSON on many lines; of what is not JSON, the beginning.
fn shown(text: &[u8]) -> String {
    let is_shallow = json::depth(text) <= json::MAX_DEPTH;
    match std::str::from_utf8(text) {
        Ok(text) if is_shallow && serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            json::pretty(text)
        }
        _ => {
            let text = String::from_utf8_lossy(text);
            format!("{:?}", text.chars().take(EXCERPT).collect::<String>())
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |label: &str, text: &str| writeln!(formatter, "{label:<11}{text}");
        for (name, part) in [("header", &self.header), ("claims", &self.claims)] {
            if let Some(text) = part {
                row(name, &text.replace('\n', &format!("\n{:11}", "")))?;
            }
        }
        for part in &self.uses {
            row("good for", &part.what)?;
        }
        for (name, words) in &self.times {
            row(name, words)?;
        }
        if let Some(words) = &self.signature {
            row("signature", words)?;
        }
        for fault in self.uses.iter().filter_map(|part| part.fault.as_ref()) {
            row("refused", fault)?;
        }
        for why in &self.refusals {
            row("refused", why)?;
        }
        row(
            "verdict",
            match self.verdict() {
                Verdict::Taken => "a server with these settings takes it",
                Verdict::Refused => "a server with these settings refuses it",
                Verdict::Unknown => "nothing is wrong with it, if the signature is good",
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::sign;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn judge() -> Judge {
        Judge {
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
        let text = Report::of(token, &judge()).to_string();
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
        let report = Report::of(&token, &judge());
        assert_eq!(report.verdict(), Verdict::Taken);
        assert!(refusals(&token).contains("message is missing"));
        assert_eq!(refusals(&signed(&json!({"channels": ["a"]}))), "");
    }

    #[test]
    fn it_is_told_which_secret_has_signed() {
        let token = signed(&json!({"channels": ["a"]}));
        let rotated = |previous: u8| Judge {
            secret: Some(Secret::new(vec![b'y'; 64])),
            previous: Some(Secret::new(vec![previous; 65])),
            ..judge()
        };
        let mut judge = rotated(b'x');
        judge.previous = Some(Secret::new(vec![b'x'; 64]));
        let report = Report::of(&token, &judge);
        assert_eq!(report.verdict(), Verdict::Taken);
        assert!(report.to_string().contains("good: the previous secret"));
        let report = Report::of(&token, &rotated(b'z'));
        assert_eq!(report.verdict(), Verdict::Refused);
        assert!(
            report
                .to_string()
                .contains("64 bytes, nor with the previous one of 65 bytes")
        );
    }

    #[test]
    fn depth_is_counted_as_the_server_does() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (levels, verdict) in [(127, Verdict::Taken), (128, Verdict::Refused)] {
            let claims = format!(r#"{{"channels":["a"],"x":{}}}"#, deep(levels));
            let claims = RawValue::from_string(claims).unwrap();
            let secret = judge().secret.unwrap();
            let token = sign(&claims, &secret, Algorithm::HS512).unwrap();
            assert_eq!(Report::of(&token, &judge()).verdict(), verdict, "{levels}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is_taken() {
        let judge = Judge {
            secret: None,
            ..judge()
        };
        let report = Report::of(&signed(&json!({"channels": []})), &judge);
        assert_eq!(report.verdict(), Verdict::Unknown);
        let report = Report::of(&signed(&json!({"exp": 1, "channels": []})), &judge);
        assert_eq!(report.verdict(), Verdict::Refused);
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
            let claims = match is_array {
                true => json!([exp, nbf]),
                false => json!({"exp": exp, "nbf": nbf, "channels": ["a"]}),
            };
            let mut token = signed(&claims);
            if let Some((at, with)) = cut {
                let at = at % token.len();
                token.replace_range(at..=at, &with);
            }
            let judge = judge();
            let verifier = Verifier::new(judge.secret.as_ref().unwrap(), judge.algorithm);
            let verified = verifier.verify(&token);
            let is_taken = verified.is_ok_and(|verified| verified.claims(judge.now).is_ok());
            let report = Report::of(&token, &judge);
            prop_assert_eq!(report.verdict() == Verdict::Taken, is_taken, "{}", report);
            prop_assert!(!report.to_string().contains("though nothing seems wrong"));
        }

        #[test]
        fn no_text_makes_it_panic(token in "\\PC{0,60}") {
            let _ = Report::of(&token, &judge()).to_string();
        }
    }
}
