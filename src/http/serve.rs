//! The request loop of a connection, for every listener.

use log::debug;

use super::connection::{Connection, Limits, Next};
use super::decoder::Request;
use super::error::HttpError;
use super::response::{Persistence, Response};
use super::status::Status;
use crate::net;
use crate::net::shutdown::Shutdown;

/// Answers requests.
pub trait Service {
    /// What is handed over with a connection that is upgraded.
    type Upgrade;

    /// The limits in force at this moment.
    fn limits(&self) -> Limits;

    /// Answers a request. A route may look at the connection's peer and permits, and change them;
    /// it must not read or write the socket.
    fn answer(&self, request: &Request, connection: &mut net::Connection) -> Answer<Self::Upgrade>;

    /// Counts a response that is about to be sent.
    fn count(&self, status: Status);
}

/// What happens to a request.
pub enum Answer<U> {
    /// It is answered, and the connection is kept if the client asks for it.
    Respond(Response),
    /// It is rejected, and the connection ended.
    Reject(HttpError),
    /// The response's head is sent, and the connection no longer speaks HTTP.
    Upgrade(Response, U),
}

/// A connection that was upgraded.
pub struct Upgraded<U> {
    /// The connection.
    pub connection: net::Connection,
    /// Bytes that arrived after the request.
    pub early: Vec<u8>,
    /// What the service handed over with it.
    pub upgrade: U,
}

/// Answers the requests of a connection until it ends, or is upgraded.
pub fn serve<S: Service>(
    connection: net::Connection,
    service: &S,
    shutdown: Shutdown,
) -> Option<Upgraded<S::Upgrade>> {
    let id = connection.id();
    let mut connection = Connection::new(connection, service.limits(), shutdown);
    loop {
        let request = match connection.next_request(|| service.limits()) {
            Next::Request(request) => request,
            Next::Rejected(error) => {
                debug!("request refused conn={id} status={}", error.status.code());
                reject(connection, error, service);
                return None;
            }
            Next::End => return None,
        };
        let answer = service.answer(&request, connection.inner());
        let head = connection.release_body(request);
        match answer {
            Answer::Respond(response) => {
                service.count(response.status());
                if connection.respond(response, &head) == Persistence::Close {
                    return None;
                }
            }
            Answer::Reject(error) => {
                reject(connection, error, service);
                return None;
            }
            Answer::Upgrade(response, upgrade) => {
                service.count(response.status());
                let (connection, early) = connection.upgrade(response, &head).ok()?;
                return Some(Upgraded {
                    connection,
                    early,
                    upgrade,
                });
            }
        }
    }
}

fn reject<S: Service>(connection: Connection, error: HttpError, service: &S) {
    service.count(error.status);
    connection.reject(error);
}
