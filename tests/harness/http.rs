//! A plain HTTP/1.1 client: one connection per request, nothing decoded, nothing followed, nothing repeated.
//!
//! It shows what a client other than `go` would see, above all whether a body came to its declared end.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::place::Place;

/// A request that is put together and then sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    place: Place,
    deadline: Duration,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Whether the body came to its end; otherwise the connection was cut.
    pub complete: bool,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection, or it broke before the status came.
    #[error("no answer from {url}: {reason}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// The time was over before the answer was there.
    #[error("no whole answer from {0} in time")]
    TimedOut(String),
}

/// Gets a URL from here.
///
/// # Panics
/// When no answer comes.
#[track_caller]
pub fn get(url: &str) -> Response {
    match Request::get(url).send() {
        Ok(response) => response,
        Err(failure) => panic!("{failure}"),
    }
}

impl Request {
    /// A GET from here with a deadline of 30 s.
    pub fn get(url: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            place: Place::Here,
            deadline: Duration::from_secs(30),
        }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    /// One more header; `Host` replaces the one made from the URL.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks the same server for another path (without leading slash), where the URL so far ends with the slash before it.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.url.push_str(path);
        self
    }

    /// Sends it from the given place.
    #[must_use]
    pub fn from_place(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self
    }

    /// Gives up after `deadline`.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// When no status comes, or the body neither ends nor breaks in time.
    pub fn send(&self) -> Result<Response, Failure> {
        let request = self.clone();
        self.place.run(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the client")
                .block_on(async {
                    tokio::time::timeout(request.deadline, request.exchange())
                        .await
                        .unwrap_or_else(|_| Err(Failure::TimedOut(request.url.clone())))
                })
        })
    }

    async fn exchange(&self) -> Result<Response, Failure> {
        let no_answer = |reason: String| Failure::NoAnswer {
            url: self.url.clone(),
            reason,
        };
        let (authority, path) = split(&self.url);
        let stream = TcpStream::connect(authority)
            .await
            .map_err(|error| no_answer(error.to_string()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| no_answer(error.to_string()))?;
        tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(path)
            .body(Empty::<Bytes>::new())
            .expect("a request that can be sent");
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_str(authority).unwrap());
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.insert(
                name,
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| no_answer(error.to_string()))?;
        let (head, mut incoming) = response.into_parts();
        let (mut body, mut complete) = (Vec::new(), true);
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Err(_) => {
                    complete = false;
                    break;
                }
            }
        }
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            complete,
        })
    }
}

impl Response {
    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body of a complete answer with status 200.
    ///
    /// # Panics
    /// When it is anything else.
    #[track_caller]
    pub fn expect_body(self) -> Vec<u8> {
        assert!(
            self.status == 200 && self.complete,
            "status {}, complete: {}, body: {}",
            self.status,
            self.complete,
            self.text().chars().take(500).collect::<String>()
        );
        self.body
    }
}

/// Splits `http://authority/path` in two; the path keeps its slash.
fn split(url: &str) -> (&str, &str) {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("`{url}` does not begin with http://"));
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}
