//! The report on a token: its contents, and every reason to reject it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::content::{self, Claims, Purpose, Size};
use super::parts::{self, Parts};
use super::signature::{self, Signature};
use super::times;
use crate::auth::{Algorithm, JoseHeader, Secret, Verifier};
use crate::protocol::json;
use crate::protocol::limits::MAX_JSON_DEPTH;

/// How much of a part that is not JSON is printed, in characters.
const EXCERPT: usize = 200;

/// The settings of the server for which the token is checked.
pub struct ServerSettings {
    /// Its secret, if it is known here.
    pub secret: Option<Secret>,
    /// The previous secret, while the server still accepts it.
    pub previous: Option<Secret>,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its largest body, in bytes.
    pub max_body: usize,
    /// Its clock.
    pub now: SystemTime,
}

/// Whether a server would accept the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Rejected,
    /// Nothing is wrong, but the signature was not checked.
    Unknown,
}

/// What was found in a token.
#[derive(Debug, Default)]
pub struct Report {
    header: Option<String>,
    claims: Option<String>,
    times: Vec<(&'static str, String)>,
    purposes: Vec<Purpose>,
    signature: Option<String>,
    is_unchecked: bool,
    /// Why it would be rejected, whatever it is used for.
    refusals: Vec<String>,
}

impl Report {
    /// Checks every part that can be read, also where another part is wrong.
    pub fn of(token: &str, server: &ServerSettings) -> Report {
        let mut report = Report::default();
        let Some(parts) = report.record(parts::split(token)) else {
            return report;
        };
        report.check(parts, token, server);
        if report.refusals.is_empty() && report.verifier_disagrees(token, server) {
            let why = "a server with these settings refuses it, though nothing seems wrong";
            report.refusals.push(why.into());
        }
        report
    }

    /// Whether a server would accept the token. One purpose without a fault is enough.
    pub fn verdict(&self) -> Verdict {
        let has_purpose = self.purposes.iter().any(|purpose| purpose.fault.is_none());
        if !self.refusals.is_empty() || !has_purpose {
            Verdict::Rejected
        } else if self.is_unchecked {
            Verdict::Unknown
        } else {
            Verdict::Accepted
        }
    }

    fn check(&mut self, parts: Parts<'_>, token: &str, server: &ServerSettings) {
        let header = self.record(parts::decode(parts.header, "header"));
        let claims = self.record(parts::decode(parts.claims, "claims"));
        let signature = self.record(parts::decode(parts.signature, "signature"));
        self.header = header.as_deref().map(printable);
        self.claims = claims.as_deref().map(printable);
        let named = header
            .as_deref()
            .and_then(|header| self.check_header(header, server));
        if let Some(claims) = &claims {
            let size = Size {
                token: token.len(),
                max_body: server.max_body,
            };
            self.check_claims(claims, size, server);
        }
        let is_readable = claims.is_some() && signature.is_some();
        self.check_signature(token, named.filter(|_| is_readable), server);
    }

    /// Takes a result, or notes why there is none.
    fn record<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|why| self.refusals.push(why)).ok()
    }

    /// The algorithm that the header names, if it is known and there is no `crit`.
    fn check_header(&mut self, header: &[u8], server: &ServerSettings) -> Option<Algorithm> {
        let limit = MAX_JSON_DEPTH;
        let parsed = if json::is_too_deep(header) {
            Err(format!("the header is nested over {limit} levels deep"))
        } else if !json::is_object(header) {
            Err("the header is no JSON object".into())
        } else {
            serde_json::from_slice::<JoseHeader>(header)
                .map_err(|error| format!("the header is no JSON object with an alg: {error}"))
        };
        let jose = self.record(parsed)?;
        if jose.crit {
            let why = "the header has crit: it demands extensions that the server does not know";
            self.refusals.push(why.into());
        }
        let named = jose.alg.parse::<Algorithm>().ok();
        if named != Some(server.algorithm) {
            let (alg, wanted) = (&jose.alg, server.algorithm);
            let cure = "sign with that, or set JWT_ALGORITHM";
            self.refusals.push(format!(
                "alg is {alg:?}, where JWT_ALGORITHM is {wanted:?}; {cure}"
            ));
        }
        named.filter(|_| !jose.crit)
    }

    fn check_signature(&mut self, token: &str, named: Option<Algorithm>, server: &ServerSettings) {
        let checked = match (&server.secret, named) {
            (None, _) => {
                Signature::Unchecked("there is no secret; set JWT_SECRET or JWT_SECRET_FILE")
            }
            (Some(_), None) => Signature::Unchecked("a part of the token is wrong"),
            (Some(secret), Some(named)) => {
                signature::check(token, named, secret, server.previous.as_ref())
            }
        };
        self.is_unchecked = matches!(checked, Signature::Unchecked(_));
        self.signature = Some(match checked {
            Signature::Good => "good: this secret has signed it".into(),
            Signature::Previous => {
                "good: the previous secret has signed it; refused once that secret is removed"
                    .into()
            }
            Signature::Unchecked(why) => format!("not checked: {why}"),
            Signature::Wrong(why) => {
                self.refusals.push(format!("the signature is wrong: {why}"));
                "wrong".into()
            }
        });
    }

    fn check_claims(&mut self, text: &[u8], size: Size, server: &ServerSettings) {
        if json::depth(text) > MAX_JSON_DEPTH {
            let limit = MAX_JSON_DEPTH;
            self.refusals
                .push(format!("the claims are nested over {limit} levels deep"));
        }
        let parsed = if json::is_object(text) {
            serde_json::from_slice::<Claims>(text).map_err(|error| error.to_string())
        } else {
            Err("it begins with something else than {".into())
        };
        let parsed = parsed.map_err(|why| format!("the claims are no JSON object: {why}"));
        let Some(claims) = self.record(parsed) else {
            return;
        };
        self.check_times(&claims, text, server);
        self.purposes = content::purposes(&claims, size);
        if self.purposes.is_empty() {
            let why = "it can be used for nothing: it has none of channels (to subscribe), channel and \
                       message (to broadcast), and broadcast (to publish)";
            self.refusals.push(why.into());
        }
    }

    fn check_times(&mut self, claims: &Claims<'_>, text: &[u8], server: &ServerSettings) {
        #[derive(Deserialize)]
        struct Issued {
            iat: f64,
        }
        let since = server.now.duration_since(UNIX_EPOCH).unwrap_or_default();
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
        self.record(number.map_err(|_| format!("{name} is not a number of seconds since 1970")))
    }

    /// Whether the server's own verifier rejects the token.
    fn verifier_disagrees(&self, token: &str, server: &ServerSettings) -> bool {
        let Some(secret) = &server.secret else {
            return false;
        };
        let verifier = Verifier::new(secret, server.algorithm);
        let verified = verifier.or_previous(server.previous.as_ref()).verify(token);
        !verified.is_ok_and(|verified| verified.claims(server.now).is_ok())
    }
}

/// JSON, indented; of anything else the beginning.
fn printable(text: &[u8]) -> String {
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
        for part in &self.purposes {
            row("good for", &part.description)?;
        }
        for (name, words) in &self.times {
            row(name, words)?;
        }
        if let Some(words) = &self.signature {
            row("signature", words)?;
        }
        for fault in self.purposes.iter().filter_map(|part| part.fault.as_ref()) {
            row("refused", fault)?;
        }
        for why in &self.refusals {
            row("refused", why)?;
        }
        row(
            "verdict",
            match self.verdict() {
                Verdict::Accepted => "a server with these settings takes it",
                Verdict::Rejected => "a server with these settings refuses it",
                Verdict::Unknown => "nothing is wrong with it, if the signature is good",
            },
        )
    }
}

#[cfg(test)]
mod tests;
