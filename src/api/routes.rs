//! What is at which path: the route of each request, and the answer where there is none.

use super::root_page::RootPage;
use super::runtime_config::RuntimeConfig;
use super::services::Services;
use super::subscribe::Subscriber;
use super::{admin, broadcast, demo, subscribe};
use crate::http::{Answer, HttpError, Method, Request, Response, Status};
use crate::net;

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// Finds the route of a request, and answers it.
pub fn answer(
    request: &Request,
    connection: &mut net::Connection,
    services: &Services,
    config: &RuntimeConfig,
) -> Answer<Subscriber> {
    let response = match (request.head.method, request.head.path.as_str()) {
        (Method::Post, "/broadcast") => {
            let response = broadcast::answer(request, &config.verifier, &services.hub);
            if response.status() == Status::Ok {
                connection.mark_proven();
            }
            response
        }
        (Method::Get | Method::Head, "/subscribe") => {
            return subscribe::answer(&request.head, connection, services, config);
        }
        (Method::Get | Method::Head, "/info.json") => admin::info(services),
        (Method::Get | Method::Head, "/healthz") => admin::health(),
        (Method::Get | Method::Head, "/readyz") => admin::readiness(services),
        (Method::Get | Method::Head, "/") => config.root_page.page(&request.head),
        #[cfg(feature = "provoke-panic")]
        (Method::Get, "/panic") => panic!("on purpose"),
        (_, "/broadcast") => Response::method_not_allowed(POST),
        (_, "/subscribe" | "/info.json" | "/healthz" | "/readyz" | "/") => {
            Response::method_not_allowed(GET)
        }
        _ => match &config.root_page {
            RootPage::Demo(demo) => answer_in_demo(request, demo).unwrap_or_else(Response::from),
            RootPage::Welcome => not_found(),
        },
    };
    Answer::Respond(response)
}

fn answer_in_demo(request: &Request, demo: &demo::Demo) -> Result<Response, HttpError> {
    demo.check_host(&request.head)?;
    Ok(match (request.head.method, request.head.path.as_str()) {
        (Method::Get | Method::Head, "/demo/token") => demo.give_token(),
        (Method::Post, "/demo/sign") => demo.sign_message(request)?,
        (_, "/demo/token") => Response::method_not_allowed(GET),
        (_, "/demo/sign") => Response::method_not_allowed(POST),
        _ => not_found(),
    })
}

fn not_found() -> Response {
    let known = "/broadcast, /subscribe, /info.json, /healthz, /readyz and /";
    let message = format!("nothing is here; there are {known}");
    HttpError::new(Status::NotFound, message).into()
}
