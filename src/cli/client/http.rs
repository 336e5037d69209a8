//! Requests to one server over one connection that stays open (HTTP/1.1, by ureq).

use std::io::ErrorKind;
use std::time::Duration;

use ureq::{Agent, Body};

use super::error::ClientError;
use super::transport::{self, Dialer};
use super::url::Url;

/// Longest head of an answer, in bytes; those of the server are far smaller, but a proxy may
/// add headers of its own.
const MAX_HEAD: usize = 32 * 1024;
/// Longest body of an answer, in bytes.
const MAX_BODY: u64 = 1 << 20;
/// How long an idle connection is kept. Before each request it is checked whether the server
/// has closed it, so the limit need not guess the server's.
const MAX_IDLE: Duration = Duration::from_secs(24 * 3600);

/// A client of one server. Its connection is opened by the first request, and again after it
/// has ended.
#[derive(Debug)]
pub struct HttpClient {
    url: Url,
    agent: Agent,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl HttpClient {
    /// A client that is not connected yet. `timeout` is from a request's start to the end of
    /// its answer.
    pub fn new(url: Url, timeout: Duration) -> HttpClient {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // Every status is an answer, and a redirect is reported rather than followed.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // HTTP_PROXY is for what goes to the web. It would also hand signed messages for
            // the server on this machine to another one.
            .proxy(None)
            .user_agent(concat!("bifrost/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(MAX_HEAD)
            .max_idle_age(MAX_IDLE)
            .build();
        let dialer = Dialer::new(url.clone());
        HttpClient {
            url,
            agent: Agent::with_parts(config, dialer, transport::Unresolved),
        }
    }

    /// The server's URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// `GET` of an endpoint.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, endpoint: &str) -> Result<Response, ClientError> {
        let request = self.agent.get(self.url.endpoint(endpoint));
        read(request.call())
    }

    /// `POST` of a JSON text to an endpoint.
    ///
    /// # Errors
    /// When there is no answer. The request is not sent again then: it may have arrived.
    pub fn post(&self, endpoint: &str, json: &str) -> Result<Response, ClientError> {
        let request = self.agent.post(self.url.endpoint(endpoint));
        read(request.content_type("application/json").send(json))
    }
}

fn read(answer: Result<ureq::http::Response<Body>, ureq::Error>) -> Result<Response, ClientError> {
    let answer = answer.map_err(failed)?;
    let status = answer.status().as_u16();
    let body = answer.into_body().into_with_config().limit(MAX_BODY);
    let body = body.read_to_vec().map_err(|error| match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            ClientError::Broken(transport::cut_short())
        }
        error => failed(error),
    })?;
    Ok(Response { status, body })
}

fn failed(error: ureq::Error) -> ClientError {
    match error {
        ureq::Error::Io(error) => ClientError::Broken(error),
        ureq::Error::Timeout(_) => ClientError::Broken(ErrorKind::TimedOut.into()),
        ureq::Error::BodyExceedsLimit(_) => {
            ClientError::Protocol("the answer is too long for a Bifrost server".into())
        }
        // What our own transport says.
        ureq::Error::Other(error) => match error.downcast::<ClientError>() {
            Ok(error) => *error,
            Err(error) => ClientError::Protocol(error.to_string()),
        },
        _ => ClientError::Protocol("what answers there does not speak HTTP".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Reads a request's head.
    fn read_head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// A server that treats each of its connections like this.
    fn serve(connection: impl Fn(TcpStream) + Send + 'static) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || listener.incoming().flatten().for_each(connection));
        Url::parse(&url).unwrap()
    }

    /// What comes of a server that takes any request and answers with these bytes.
    fn get(answer: Vec<u8>) -> Result<Response, ClientError> {
        let url = serve(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(&answer).unwrap();
        });
        HttpClient::new(url, LIMIT).get("/readyz")
    }

    #[track_caller]
    fn expect(answer: &[u8], status: u16, body: &str) {
        let response = get(answer.into()).unwrap();
        assert_eq!(response.status, status);
        assert_eq!(String::from_utf8(response.body).unwrap(), body);
    }

    #[test]
    fn every_framing_is_read() {
        expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi");
        expect(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        expect(chunked, 200, "hi");
        expect(b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end");
        expect(b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end");
        expect(b"HTTP/1.1 204 No Content\r\n\r\n", 204, "");
    }

    #[test]
    fn every_status_is_an_answer() {
        for status in [301, 307, 400, 413, 503] {
            let answer =
                format!("HTTP/1.1 {status} X\r\nLocation: /x\r\nContent-Length: 1\r\n\r\nx");
            expect(answer.as_bytes(), status, "x");
        }
    }

    #[test]
    fn bytes_that_are_no_http_response_are_an_error() {
        let body = "x".repeat(MAX_BODY as usize + 1);
        let length = body.len();
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        for (bytes, words) in [
            ("", "no answer came"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
                "cut short",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Le", "cut short"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP"),
            ("SSH-2.0-OpenSSH_9.9\r\n", "does not speak HTTP"),
            (&long, "too long"),
        ] {
            let error = get(bytes.into()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = HttpClient::new(Url::parse(&url).unwrap(), Duration::from_millis(50));
        let error = client.post("/broadcast", "{}").unwrap_err();
        assert_eq!(error.to_string(), "no answer in time");
    }

    #[test]
    fn requests_name_the_endpoint_and_share_a_connection() {
        let url = serve(|mut stream| {
            // The head of each request is the body of its answer.
            while let head = read_head(&mut stream)
                && !head.is_empty()
            {
                let length = head.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let client = HttpClient::new(url.clone(), LIMIT);
        for _ in 0..2 {
            let head = String::from_utf8(client.get("/readyz").unwrap().body).unwrap();
            let head = head.to_ascii_lowercase();
            let host = url.to_string().replace("http://", "");
            assert!(head.starts_with("get /readyz http/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
            assert!(head.contains("\r\nuser-agent: bifrost/"), "{head}");
        }
    }

    #[test]
    fn a_server_that_answers_before_it_has_the_whole_request_is_heard() {
        let url = serve(|mut stream| {
            read_head(&mut stream);
            let answer = b"HTTP/1.1 413 X\r\nContent-Length: 1\r\n\r\nx";
            stream.write_all(answer).unwrap();
            // Closes with unread input: a reset follows the answer.
            thread::sleep(Duration::from_millis(20));
        });
        let body = "x".repeat(32 << 20);
        let response = HttpClient::new(url, LIMIT).post("/broadcast", &body);
        assert_eq!(response.unwrap().status, 413);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_answer_makes_it_panic(text in "(HTTP/1.1 [0-9]{0,4} )?[ -~\r\n]{0,80}") {
            let _ = get(text.into());
        }
    }
}
