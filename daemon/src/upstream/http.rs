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
mod tls;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use modmesh_protocol::goproxy::ProxyUrl;
use tokio::time::{Instant, timeout};

use super::{Options, StartError};
use connect::Connector;
use proxies::Proxies;
pub use proxies::ProxySettings;

/// As many as curl and browsers allow within reason; Go allows nine.
const REDIRECTS_MAX: usize = 10;

/// What counts as progress of a body: less than this within the idle deadline is a trickle that would hold its place
/// for ever.
const PROGRESS_BYTES: u64 = 16 << 10;

/// A client with its connections.
pub(super) struct HttpClient {
    client: Client<Connector, Empty<Bytes>>,
    proxies: Arc<Proxies>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    /// What the header promises, where it does.
    pub(super) content_length: Option<u64>,
    /// Whether the body is coded (gzip, for example) although that was not asked for.
    pub(super) is_encoded: bool,
    body: Incoming,
    idle_timeout: Duration,
    /// Time spent waiting, and bytes seen, since there was progress last.
    waited: Duration,
    bytes_since: u64,
}

/// Why there is no answer, or no whole one. The text is for people.
#[derive(Debug)]
pub(super) enum HttpError {
    /// There is no connection.
    Connect(String),
    /// There was a connection, and no answer came over it.
    Silence(String),
    /// The answer is a redirect that is not followed.
    Redirect(u16, String),
    /// The body ended early or stalled.
    Cut(String),
}

impl HttpClient {
    pub(super) fn new(options: &Options, needs_tls: bool) -> Result<Self, StartError> {
        let proxies = Arc::new(Proxies::new(&options.proxies)?);
        let tls = tls::config(&options.extra_roots, needs_tls)?;
        let connector = Connector::new(tls, Arc::clone(&proxies), options.connect_timeout);
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
            proxies,
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
        })
    }

    /// Asks for `path` (escaped for a URL, beginning with a slash) below the base of `entry`. `connected` is called
    /// when a connection stands, before the answer.
    pub(super) async fn get(
        &self,
        entry: &ProxyUrl,
        path: &str,
        mut connected: impl FnMut(),
    ) -> Result<Reply, HttpError> {
        let first: Uri = format!("{}{path}", entry.without_userinfo())
            .parse()
            .map_err(|_| HttpError::Connect("the URL is too long or not valid".to_owned()))?;
        let mut uri = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let credentials = redirect::same_origin(&first, &uri)
                .then(|| entry.credentials())
                .flatten();
            let response = self
                .once_or_twice(&uri, credentials.as_deref(), &mut connected)
                .await?;
            let status = response.status();
            let Some(location) = redirect::location(status, response.headers().get(LOCATION))
            else {
                return Ok(Reply::new(response, self.idle_timeout));
            };
            uri = redirect::follow(&uri, location)
                .map_err(|fault| HttpError::Redirect(status.as_u16(), fault.to_string()))?;
        }
        Err(HttpError::Redirect(
            StatusCode::FOUND.as_u16(),
            format!("more than {REDIRECTS_MAX} redirects"),
        ))
    }

    /// One request, and a second one when the connection broke before an answer: a kept connection may be closed by
    /// its other end at the very moment it is used again.
    async fn once_or_twice(
        &self,
        uri: &Uri,
        credentials: Option<&[u8]>,
        connected: &mut impl FnMut(),
    ) -> Result<Response<Incoming>, HttpError> {
        match self.once(uri, credentials, connected).await {
            Err(Attempt::Broken(_)) => {}
            settled => return settled.map_err(Attempt::into_error),
        }
        let again = self.once(uri, credentials, connected).await;
        again.map_err(Attempt::into_error)
    }

    async fn once(
        &self,
        uri: &Uri,
        credentials: Option<&[u8]>,
        connected: &mut impl FnMut(),
    ) -> Result<Response<Incoming>, Attempt> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers(uri, credentials);
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
                connected();
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

impl Reply {
    fn new(response: Response<Incoming>, idle_timeout: Duration) -> Self {
        let (head, body) = response.into_parts();
        let text = |name: HeaderName| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let encoding = text(CONTENT_ENCODING).unwrap_or_default();
        Self {
            status: head.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            content_length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            is_encoded: !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"),
            body,
            idle_timeout,
            waited: Duration::ZERO,
            bytes_since: 0,
        }
    }

    /// The next piece of the body, or nothing at its end. Only waiting counts for the deadline, not what the caller
    /// does between the calls.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let began = Instant::now();
            let left = self.idle_timeout.saturating_sub(self.waited);
            let frame = timeout(left, self.body.frame())
                .await
                .map_err(|_| HttpError::Cut(self.stalled()))?;
            self.waited += began.elapsed();
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| HttpError::Cut(reason::of_body(&error)))?;
            // Trailers are of no interest.
            if let Ok(piece) = frame.into_data() {
                self.bytes_since += piece.len() as u64;
                if self.bytes_since >= PROGRESS_BYTES {
                    (self.waited, self.bytes_since) = (Duration::ZERO, 0);
                }
                return Ok(Some(piece));
            }
        }
    }

    fn stalled(&self) -> String {
        format!(
            "the body stalled: {} bytes came within {:?}",
            self.bytes_since, self.idle_timeout
        )
    }
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
            Self::Broken(text) => HttpError::Silence(format!(
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
            | Self::Redirect(_, text)
            | Self::Cut(text) => text,
        }
    }
}
