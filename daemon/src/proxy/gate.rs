//! Who is turned away before anything is looked up: web pages, and requests meant for somebody else.
//!
//! A page of a foreign site can make a browser on this machine send requests here, also under a name of its own that
//! resolves to loopback. `go` sends neither `Origin` nor `Sec-Fetch-Site`, and names us by the address it was given.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// Names under which this daemon may be addressed, besides its own addresses.
#[derive(Debug, Clone)]
pub(crate) struct DoorKeeper {
    allow_hosts: Vec<String>,
}

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    #[error(
        "this daemon is not {0}; if that is a name of this host, start it with --allow-host {0}"
    )]
    ForeignHost(String),
    #[error("this daemon must be asked under one Host that names it")]
    NoHost,
    #[error("requests from web pages are refused")]
    WebPage,
}

impl DoorKeeper {
    pub(crate) fn new(allow_hosts: &[String]) -> Self {
        Self {
            allow_hosts: allow_hosts
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        }
    }

    /// Judges the target and the headers of a request that came in at `local`.
    pub(crate) fn admit(
        &self,
        target: &Uri,
        headers: &HeaderMap,
        local: SocketAddr,
    ) -> Result<(), TurnedAway> {
        let host = single(headers, HOST.as_str()).ok_or(TurnedAway::NoHost)?;
        let (name, port) = split(host).ok_or(TurnedAway::NoHost)?;
        if !self.is_ours(name, port, local) {
            return Err(TurnedAway::foreign(name));
        }
        // A target such as `http://name/path` outranks the Host (RFC 9112, section 3.2.2), so it may not name another one.
        if let Some(authority) = target.authority()
            && !authority.as_str().eq_ignore_ascii_case(host)
        {
            return Err(TurnedAway::foreign(authority.as_str()));
        }
        let same_site = !headers.contains_key("sec-fetch-site")
            || matches!(
                single(headers, "sec-fetch-site"),
                Some("none" | "same-origin")
            );
        let same_origin = !headers.contains_key(ORIGIN)
            || single(headers, ORIGIN.as_str())
                .and_then(|origin| origin.strip_prefix("http://"))
                .is_some_and(|origin| origin.eq_ignore_ascii_case(host));
        if same_site && same_origin {
            Ok(())
        } else {
            Err(TurnedAway::WebPage)
        }
    }

    /// Whether it is the address that the connection came to, loopback, or an allowed name.
    fn is_ours(&self, name: &str, port: Option<u16>, local: SocketAddr) -> bool {
        let name = name.to_ascii_lowercase();
        if self.allow_hosts.contains(&name) {
            return true;
        }
        if port.unwrap_or(80) != local.port() {
            return false;
        }
        match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical() == local.ip().to_canonical() || ip.is_loopback(),
            Err(_) => name == "localhost",
        }
    }
}

impl TurnedAway {
    /// The name is shown as far as names go.
    fn foreign(name: &str) -> Self {
        Self::ForeignHost(name.chars().take(100).collect())
    }
}

/// The value of a header that stands exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, after) = match host.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .filter(|(name, _)| name.contains(':'))?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = match after.strip_prefix(':') {
        // A number's own parser would take a sign.
        Some(port) if !port.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(port) => Some(port.parse().ok()?),
        None if after.is_empty() => None,
        None => return None,
    };
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admit(headers: &[(&'static str, &str)]) -> Result<(), TurnedAway> {
        admit_to("/healthz", headers)
    }

    fn admit_to(target: &str, headers: &[(&'static str, &str)]) -> Result<(), TurnedAway> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        DoorKeeper::new(&["Build.Corp.example".to_owned()]).admit(
            &target.parse().unwrap(),
            &map,
            "127.0.0.1:8484".parse().unwrap(),
        )
    }

    #[test]
    fn go_is_let_in_under_every_name_it_may_know_us_by() {
        for host in [
            "127.0.0.1:8484",
            "localhost:8484",
            "LOCALHOST:8484",
            "[::1]:8484",
            "build.corp.example",
            "build.corp.example:8484",
        ] {
            assert_eq!(admit(&[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_that_a_page_made_up_for_us_are_turned_away() {
        for host in [
            "",
            "attacker.example:8484",
            "127.0.0.1",
            "127.0.0.1:80",
            "10.0.0.1:8484",
            "localhost.attacker.example:8484",
            "127.0.0.1:8484:1",
            "127.0.0.1:+8484",
            "127.0.0.1:",
            "127.0.0.1.:8484",
            "localhost.:8484",
            "user@127.0.0.1:8484",
            "127.0.0.1:8484@attacker.example",
            "0.0.0.0:8484",
            "127.1:8484",
            "2130706433:8484",
            "::1:8484",
            "[127.0.0.1]:8484",
            "[::]:8484",
            "[::1",
            "[::1]x",
        ] {
            assert!(admit(&[("host", host)]).is_err(), "{host}");
        }
        let ours = ("host", "127.0.0.1:8484");
        assert_eq!(admit(&[]), Err(TurnedAway::NoHost));
        assert_eq!(admit(&[ours, ours]), Err(TurnedAway::NoHost));
    }

    #[test]
    fn a_target_that_names_a_host_names_the_same_as_the_header() {
        let ours = ("host", "127.0.0.1:8484");
        assert_eq!(admit_to("http://127.0.0.1:8484/healthz", &[ours]), Ok(()));
        for target in [
            "http://attacker.example/healthz",
            "http://attacker.example:8484/healthz",
            "http://127.0.0.1/healthz",
            "http://user@127.0.0.1:8484/healthz",
            "http://localhost:8484/healthz",
            "attacker.example:443",
        ] {
            let turned = admit_to(target, &[ours]);
            assert!(
                matches!(turned, Err(TurnedAway::ForeignHost(_))),
                "{target}: {turned:?}"
            );
        }
    }

    #[test]
    fn web_pages_are_turned_away() {
        let ours = ("host", "127.0.0.1:8484");
        for page in [
            ("origin", "http://attacker.example"),
            ("origin", "null"),
            ("origin", "https://127.0.0.1:8484"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "nonsense"),
        ] {
            assert_eq!(admit(&[ours, page]), Err(TurnedAway::WebPage), "{page:?}");
        }
        for own in [
            ("origin", "http://127.0.0.1:8484"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(admit(&[ours, own]), Ok(()), "{own:?}");
        }
    }
}
