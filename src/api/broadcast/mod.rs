//! `POST /broadcast`: from the body of a request to the subscribers of a channel.
//!
//! A message comes in one of two ways: inside a token that is valid for this one message
//! (`signed`), or bare, with a token in the header that is valid for some channels (`bearer`).

mod bearer;
mod error;
mod publication;
mod signed;
mod turns;

use std::time::Instant;

use log::warn;
use serde::Serialize;

use crate::auth::Verifier;
use crate::http::{Request, Response, Status};
use crate::hub::Hub;
use crate::telemetry::counters;
use crate::telemetry::labels::BroadcastResult;
use crate::telemetry::metric_types::Label;
use crate::telemetry::throttle::Throttle;

pub use error::BroadcastError;

use publication::Publication;

static REJECTED: Throttle = Throttle::new();

/// The response to a broadcast that was sent.
#[derive(Serialize)]
struct Sent {
    message: &'static str,
    deliveries: usize,
}

/// Sends the messages of a request, counts and logs the result, and answers.
pub fn answer(request: &Request, verifier: &Verifier, hub: &Hub) -> Response {
    let began = Instant::now(); // the request is complete
    let response = post(request, verifier, hub).unwrap_or_else(|error| {
        log_error(&error);
        error.http.into()
    });
    counters::BROADCASTS.add_one(BroadcastResult::of(response.status().code()));
    counters::BROADCAST_DURATION.observe(began.elapsed());
    response
}

/// Sends the messages of a request to every subscriber of their channels, if all are valid.
///
/// # Errors
/// 400 with a sentence that says what is wrong; without a token in the body, 401 when the header
/// has no valid one, and 403 when it does not allow the channel (RFC 6750 §3.1).
pub fn post(request: &Request, verifier: &Verifier, hub: &Hub) -> Result<Response, BroadcastError> {
    let _turn = turns::wait_for(request.body.len());
    let publications = match signed::find_token(request) {
        Ok(token) => vec![signed::read(&token, verifier)?],
        Err(no_token) if no_token.is_final => return Err(no_token.error.into()),
        Err(no_token) => bearer::read(request, verifier, no_token.error)?,
    };
    let send = |Publication { channel, payload }| hub.broadcast(&channel, payload);
    let sent = Sent {
        message: "Success",
        deliveries: publications.into_iter().map(send).sum(),
    };
    Ok(Response::json(Status::Ok, &sent))
}

fn log_error(error: &BroadcastError) {
    let Some(suppressed) = REJECTED.pass() else {
        return;
    };
    let (status, reason) = (error.http.status.code(), &error.http.message);
    let label = error.auth.and_then(|auth| auth.label());
    let token = label.map_or_else(String::new, |label| format!(" token={}", label.name()));
    warn!("broadcast refused status={status} reason={reason:?}{token} suppressed={suppressed}");
}
