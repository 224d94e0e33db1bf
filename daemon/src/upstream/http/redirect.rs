//! Where a redirect leads, and whether it may be followed.

use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{StatusCode, Uri};

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RedirectFault {
    /// The target cannot be read.
    #[error("a redirect to something that is no http or https URL")]
    Target,
    /// From https to http: anybody on the way could change the answer.
    #[error("a redirect from https to http is not followed")]
    Insecure,
}

/// The target of a redirect, where the answer is one.
pub(super) fn location(status: StatusCode, location: Option<&HeaderValue>) -> Option<&HeaderValue> {
    let follows = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    location.filter(|_| follows)
}

/// The URL to ask next.
pub(super) fn follow(from: &Uri, location: &HeaderValue) -> Result<Uri, RedirectFault> {
    let text = location.to_str().map_err(|_| RedirectFault::Target)?;
    let target = resolve(from, text).ok_or(RedirectFault::Target)?;
    let is_secure = |uri: &Uri| uri.scheme() == Some(&Scheme::HTTPS);
    if is_secure(from) && !is_secure(&target) {
        return Err(RedirectFault::Insecure);
    }
    Ok(target)
}

/// Whether both have the same scheme, host and port: the bound within which credentials travel.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// Scheme, host and port, for people: the path and query of storage behind a proxy hold access rights.
pub(super) fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", Authority::as_str);
    format!("{scheme}://{authority}")
}

/// Resolves a reference (RFC 3986, section 5.2), without its fragment and userinfo.
fn resolve(from: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    let (scheme, rest) = split_scheme(from, reference)?;
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next()?;
            (host.parse::<Authority>().ok()?, rest[end..].to_owned())
        }
        None => (from.authority()?.clone(), join(from, rest)),
    };
    let path = if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(without_dots(&path).parse::<PathAndQuery>().ok()?)
        .build()
        .ok()
        .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

/// The scheme of the target, and what follows it. `a:b` has a scheme only when `a` could be one.
fn split_scheme<'a>(from: &Uri, reference: &'a str) -> Option<(Scheme, &'a str)> {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match reference.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() && is_scheme(scheme) => {
            match scheme.to_ascii_lowercase().as_str() {
                "http" => Some((Scheme::HTTP, rest)),
                "https" => Some((Scheme::HTTPS, rest)),
                _ => None,
            }
            .filter(|(_, rest)| rest.starts_with("//"))
        }
        _ => Some((from.scheme()?.clone(), reference)),
    }
}

/// A path reference, made absolute by the path it was found at.
fn join(from: &Uri, reference: &str) -> String {
    let base = from.path();
    if reference.is_empty() || reference.starts_with('?') {
        format!("{base}{reference}")
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else {
        let folder = base.rfind('/').map_or("/", |slash| &base[..=slash]);
        format!("{folder}{reference}")
    }
}

/// The path with its `.` and `..` elements resolved; the query stays as it is.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (path_and_query, String::new()),
    };
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/').skip(1) {
        match element {
            "." => {}
            ".." => drop(kept.pop()),
            element => kept.push(element),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn followed(from: &'static str, location: &str) -> Result<String, RedirectFault> {
        let location = HeaderValue::from_str(location).unwrap();
        follow(&Uri::from_static(from), &location).map(|uri| uri.to_string())
    }

    #[test]
    fn a_reference_is_resolved_against_where_it_was_found() {
        let from = "https://a.example:8443/go/x/@v/v1.zip?q=1";
        for (reference, expected) in [
            ("http2s.zip", "https://a.example:8443/go/x/@v/http2s.zip"),
            ("../../y?z=/../", "https://a.example:8443/go/y?z=/../"),
            ("/../../y", "https://a.example:8443/y"),
            ("?r=2", "https://a.example:8443/go/x/@v/v1.zip?r=2"),
            ("//b.example", "https://b.example/"),
            ("HTTPS://u:p@b.example/y#f", "https://b.example/y"),
            ("https://b.example?k=v", "https://b.example/?k=v"),
            (".", "https://a.example:8443/go/x/@v/"),
        ] {
            assert_eq!(followed(from, reference).unwrap(), expected, "{reference}");
        }
    }

    #[test]
    fn secure_stays_secure_and_only_http_is_followed() {
        assert_eq!(
            followed("https://a.example/", "http://a.example/"),
            Err(RedirectFault::Insecure)
        );
        assert!(followed("http://a.example/", "http://b.example/").is_ok());
        for target in [
            "ftp://a.example/",
            "file:///etc/passwd",
            "https:x",
            "https://",
            "//",
        ] {
            assert_eq!(
                followed("http://a.example/", target),
                Err(RedirectFault::Target),
                "{target}"
            );
        }
    }

    #[test]
    fn credentials_stay_at_their_origin() {
        let at = |uri: &'static str| Uri::from_static(uri);
        assert!(same_origin(
            &at("https://A.example/x"),
            &at("https://a.example:443/")
        ));
        assert!(!same_origin(
            &at("https://a.example/"),
            &at("https://a.example:444/")
        ));
        assert!(!same_origin(
            &at("https://a.example/"),
            &at("https://b.example/")
        ));
        assert!(!same_origin(
            &at("https://a.example/"),
            &at("http://a.example:443/")
        ));
    }
}
