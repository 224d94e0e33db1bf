//! The HTTP client: the only place that knows which library speaks HTTP to the outside.
//!
//! It asks one GET of one entry and follows redirects; it does not know the list. HTTP/2 where TLS agrees on it
//! (ALPN), else HTTP/1.1; connections are kept. What always holds: a redirect never leaves https for http, credentials
//! go to the entry's own origin alone, and each wait (connection, header, 16 KiB of body) has its deadline.
//!
//! Deliberately absent: cookies, caching, decompression (nothing compressed is asked for), and more than one retry.

mod connect;
mod proxies;
mod reason;
mod redirect;
mod reply;
mod tls;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, IF_RANGE, LOCATION,
    PROXY_AUTHORIZATION, RANGE, USER_AGENT,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use modmesh_protocol::goproxy::ProxyUrl;
use tokio::time::timeout;

use super::{Options, StartError};
use connect::Connector;
use proxies::Proxies;
pub use proxies::ProxySettings;
pub(super) use reply::{Reply, Version};

/// As many as curl and browsers allow within reason; Go allows nine.
const REDIRECTS_MAX: usize = 10;

/// A client with its connections.
pub(super) struct HttpClient {
    client: Client<Connector, Empty<Bytes>>,
    /// Keeps no connection: for looking whether one can be made and answers.
    scout: Client<Connector, Empty<Bytes>>,
    proxies: Arc<Proxies>,
    connect_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
}

/// What is asked of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// The base.
    pub(super) entry: &'a ProxyUrl,
    /// Below the base, escaped for a URL, beginning with a slash.
    pub(super) path: &'a str,
    /// Only what follows this many bytes, of the very version of the file that they came from.
    pub(super) rest: Option<(u64, &'a Version)>,
}

/// Why there is no answer, or no whole one. The text is for people.
#[derive(Debug)]
pub(super) enum HttpError {
    /// There is no connection.
    Connect(String),
    /// There was a connection, and no answer came over it in time.
    Silence(String),
    /// There was a connection, and it ended before an answer came.
    Broken(String),
    /// The answer is a redirect that is not followed.
    Redirect(u16, String),
    /// The body ended early or stalled.
    Cut(String),
    /// The entry answered with a redirect to this host, and there it failed so.
    Beyond(String, Box<HttpError>),
}

/// What is heard on the way to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A connection stands.
    Connected,
    /// The entry answered; its answer is a redirect that is followed.
    Redirected,
}

impl HttpClient {
    pub(super) fn new(options: &Options, needs_tls: bool) -> Result<Self, StartError> {
        let proxies = Arc::new(Proxies::new(&options.proxies)?);
        let tls = tls::config(&options.extra_roots, needs_tls)?;
        let connector = Connector::new(tls, Arc::clone(&proxies), options.connect_timeout);
        let scout = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(0)
            .build(connector.clone());
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(options.concurrency_max)
            // A connection whose other end vanished would else swallow one request after the other.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(options.connect_timeout)
            .build(connector);
        Ok(Self {
            client,
            scout,
            proxies,
            connect_timeout: options.connect_timeout,
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
        })
    }

    /// Asks, and follows redirects. `heard` is told what comes before the answer.
    pub(super) async fn get(
        &self,
        ask: Ask<'_>,
        mut heard: impl FnMut(Sign),
    ) -> Result<Reply, HttpError> {
        let first = ask.uri()?;
        let mut uri = first.clone();
        for redirects in 0..=REDIRECTS_MAX {
            let credentials = redirect::same_origin(&first, &uri)
                .then(|| ask.entry.credentials())
                .flatten();
            let mut headers = self.headers(&uri, credentials.as_deref());
            ask.add_range(&mut headers);
            let response = self.once_or_twice(&uri, &headers, &mut heard).await;
            // What another host does tells nothing about the entry.
            let response = response.map_err(|error| match redirects {
                0 => error,
                _ => HttpError::Beyond(redirect::origin(&uri), Box::new(error)),
            })?;
            let status = response.status();
            let Some(location) = redirect::location(status, response.headers().get(LOCATION))
            else {
                return Ok(Reply::new(response, uri, self.idle_timeout));
            };
            uri = redirect::follow(&uri, location)
                .map_err(|fault| HttpError::Redirect(status.as_u16(), fault.to_string()))?;
            heard(Sign::Redirected);
        }
        Err(HttpError::Redirect(
            StatusCode::FOUND.as_u16(),
            // The words of Go's own client (net/http, `defaultCheckRedirect`).
            format!("stopped after {REDIRECTS_MAX} redirects"),
        ))
    }

    /// Whether the entry answers, whatever it answers, over a connection of its own.
    pub(super) async fn answers(&self, ask: Ask<'_>) -> Result<(), HttpError> {
        let uri = ask.uri()?;
        let headers = self.headers(&uri, ask.entry.credentials().as_deref());
        let asked = self.scout.request(request(&uri, &headers));
        // The connector has its own deadline; as much again for the answer.
        match timeout(self.connect_timeout * 2, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(HttpError::Connect(reason::of(&error))),
            Err(_) => Err(HttpError::Silence(format!(
                "no answer within {:?}",
                self.connect_timeout * 2
            ))),
        }
    }

    /// One request, and a second one when the connection broke before an answer: a kept connection may be closed by
    /// its other end at the very moment it is used again.
    async fn once_or_twice(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        heard: &mut impl FnMut(Sign),
    ) -> Result<Response<Incoming>, HttpError> {
        match self.once(uri, headers, heard).await {
            Err(Attempt::Broken(_)) => {}
            settled => return settled.map_err(Attempt::into_error),
        }
        let again = self.once(uri, headers, heard).await;
        again.map_err(Attempt::into_error)
    }

    async fn once(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        heard: &mut impl FnMut(Sign),
    ) -> Result<Response<Incoming>, Attempt> {
        let mut request = request(uri, headers);
        let mut connection = capture_connection(&mut request);
        let mut answer = pin!(self.client.request(request));
        // The connector has its own deadline, so this first wait ends by itself.
        let early = tokio::select! {
            biased;
            early = &mut answer => Some(early),
            _ = connection.wait_for_connection_metadata() => None,
        };
        let answer = match early {
            Some(answer) => answer,
            None => {
                heard(Sign::Connected);
                timeout(self.header_timeout, answer)
                    .await
                    .map_err(|_| Attempt::Silent(self.header_timeout))?
            }
        };
        answer.map_err(|error| {
            let text = reason::of(&error);
            if error.is_connect() {
                Attempt::NotConnected(text)
            } else {
                Attempt::Broken(text)
            }
        })
    }

    fn headers(&self, uri: &Uri, credentials: Option<&[u8]>) -> HeaderMap {
        let agent = concat!("modmesh/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(credentials) = credentials {
            let basic = format!("Basic {}", STANDARD.encode(credentials));
            if let Ok(mut basic) = HeaderValue::try_from(basic) {
                basic.set_sensitive(true);
                headers.insert(AUTHORIZATION, basic);
            }
        }
        // Through a tunnel the proxy gets its credentials from the connector instead.
        if uri.scheme_str() == Some("http")
            && let Some(basic) = self.proxies.basic_auth(uri)
        {
            headers.insert(PROXY_AUTHORIZATION, basic);
        }
        headers
    }
}

impl Ask<'_> {
    fn uri(&self) -> Result<Uri, HttpError> {
        format!("{}{}", self.entry.without_userinfo(), self.path)
            .parse()
            .map_err(|_| HttpError::Connect("the URL is too long or not valid".to_owned()))
    }

    /// RFC 9110, sections 13.1.5 and 14.2: the rest, if the file is still the same; else the whole.
    fn add_range(&self, headers: &mut HeaderMap) {
        let Some((from, version)) = self.rest else {
            return;
        };
        if let Ok(range) = HeaderValue::try_from(format!("bytes={from}-")) {
            headers.insert(RANGE, range);
        }
        if let Some(validator) = version.validator() {
            headers.insert(IF_RANGE, validator.clone());
        }
    }
}

fn request(uri: &Uri, headers: &HeaderMap) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    request
}

/// How one attempt ended without an answer.
enum Attempt {
    NotConnected(String),
    Silent(Duration),
    Broken(String),
}

impl Attempt {
    fn into_error(self) -> HttpError {
        match self {
            Self::NotConnected(text) => HttpError::Connect(text),
            Self::Silent(deadline) => {
                HttpError::Silence(format!("connected, but no answer came within {deadline:?}"))
            }
            Self::Broken(text) => HttpError::Broken(format!(
                "the connection was closed before an answer came: {text}"
            )),
        }
    }
}

impl HttpError {
    /// The text for people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Connect(text)
            | Self::Silence(text)
            | Self::Broken(text)
            | Self::Redirect(_, text)
            | Self::Cut(text) => text,
            Self::Beyond(origin, error) => {
                format!("it redirects to {origin}, and there: {}", error.text())
            }
        }
    }
}
