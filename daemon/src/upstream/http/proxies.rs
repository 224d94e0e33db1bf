//! The HTTP proxies between this host and the world, from the variables that `go` and curl read too.
//!
//! HTTP_PROXY, HTTPS_PROXY and NO_PROXY in upper or lower case, ALL_PROXY where the one for the scheme is missing.
//! Loopback is never asked through a proxy, whatever the variables say. A value that cannot be used is an error at
//! start: else requests would silently go another way than the person meant.

use std::env;
use std::fmt;

use http::Uri;
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use modmesh_protocol::goproxy::ProxyUrl;

use crate::upstream::StartError;

/// Proxy settings, each empty where there is none. They may hold passwords and do not show themselves.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For http entries: the URL of a proxy.
    pub http: String,
    /// For https entries.
    pub https: String,
    /// For both, where the one above is empty.
    pub all: String,
    /// Hosts, domains and networks that are reached straight, with commas; `*` for all.
    pub none_for: String,
}

/// The settings, understood.
pub(super) struct Proxies {
    matcher: Matcher,
}

/// A proxy to go through.
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) uri: Uri,
    pub(super) basic_auth: Option<HeaderValue>,
    pub(super) login: Option<(String, String)>,
}

/// What the proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Socks,
}

impl ProxySettings {
    /// What the environment says. As in Go, HTTP_PROXY is not believed inside a CGI program, where a request's
    /// `Proxy` header would set it.
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            [name.to_owned(), name.to_lowercase()]
                .into_iter()
                .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
                .unwrap_or_default()
        };
        let is_cgi = env::var_os("REQUEST_METHOD").is_some();
        Self {
            http: if is_cgi {
                String::new()
            } else {
                variable("HTTP_PROXY")
            },
            https: variable("HTTPS_PROXY"),
            all: variable("ALL_PROXY"),
            none_for: variable("NO_PROXY"),
        }
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings").finish_non_exhaustive()
    }
}

impl Proxies {
    pub(super) fn new(settings: &ProxySettings) -> Result<Self, StartError> {
        for (variable, value) in [
            ("HTTP_PROXY", &settings.http),
            ("HTTPS_PROXY", &settings.https),
            ("ALL_PROXY", &settings.all),
        ] {
            if !value.is_empty() && !is_usable(value) {
                return Err(StartError::Proxy { variable });
            }
        }
        let matcher = Matcher::builder()
            .http(settings.http.clone())
            .https(settings.https.clone())
            .all(settings.all.clone())
            .no(settings.none_for.clone())
            .build();
        Ok(Self { matcher })
    }

    /// The proxy for connections to `uri`, if any.
    pub(super) fn for_uri(&self, uri: &Uri) -> Option<Proxy> {
        if is_loopback(uri) {
            return None;
        }
        let found = self.matcher.intercept(uri)?;
        let is_socks = found
            .uri()
            .scheme_str()
            .is_some_and(|scheme| scheme.starts_with("socks"));
        Some(Proxy {
            kind: if is_socks { Kind::Socks } else { Kind::Http },
            uri: found.uri().clone(),
            basic_auth: found.basic_auth().cloned(),
            login: found
                .raw_auth()
                .map(|(user, password)| (user.to_owned(), password.to_owned())),
        })
    }

    /// The header that an HTTP proxy wants with a request for `uri`.
    pub(super) fn basic_auth(&self, uri: &Uri) -> Option<HeaderValue> {
        self.for_uri(uri)?.basic_auth
    }
}

/// Whether a proxy can be found at `value`. SOCKS 4 is not spoken: Go does not either.
fn is_usable(value: &str) -> bool {
    let everything = Uri::from_static("http://192.0.2.1/");
    let matcher = Matcher::builder().all(value.to_owned()).build();
    matcher
        .intercept(&everything)
        .is_some_and(|found| !matches!(found.uri().scheme_str(), Some("socks4" | "socks4a")))
}

fn is_loopback(uri: &Uri) -> bool {
    let host = format!("http://{}", uri.host().unwrap_or_default());
    ProxyUrl::parse(&host).is_ok_and(|url| url.is_loopback())
}
