//! Everything that can be said about a token, and how a server would decide.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::content::{self, Claims, Size, Use};
use super::form::{self, Parts};
use super::signature::{self, Signature};
use super::times;
use crate::auth::{Algorithm, JoseHeader, Secret, Verifier};
use crate::protocol::json;
use crate::protocol::limits::MAX_JSON_DEPTH;

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
        let limit = MAX_JSON_DEPTH;
        let parsed = match (json::is_object(header), json::is_too_deep(header)) {
            (_, true) => Err(format!("the header is nested over {limit} levels deep")),
            (false, _) => Err("the header is no JSON object".into()),
            (true, false) => serde_json::from_slice::<JoseHeader>(header)
                .map_err(|error| format!("the header is no JSON object with an alg: {error}")),
        };
        let jose = self.keep(parsed)?;
        if jose.crit {
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
        named.filter(|_| !jose.crit)
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
        if json::depth(text) > MAX_JSON_DEPTH {
            let limit = MAX_JSON_DEPTH;
            self.refusals
                .push(format!("the claims are nested over {limit} levels deep"));
        }
        let parsed = match json::is_object(text) {
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
    let is_shallow = json::depth(text) <= MAX_JSON_DEPTH;
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
mod tests;
