//! The URL of one module proxy, checked once so that nobody after it has to.
//!
//! Stricter than Go where Go's leniency only postpones the failure: a host is needed, and queries and fragments are
//! refused. The path is kept percent-encoded and without a slash at its end. Userinfo is kept for the request and is
//! shown by neither `Display` nor `Debug`, nor by any error.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What stands for userinfo wherever a URL is shown.
const REDACTED: &str = "xxxxx";

/// The URL of a module proxy: scheme, perhaps userinfo, host and base path.
///
/// ```
/// use modmesh_protocol::goproxy::ProxyUrl;
/// let url = ProxyUrl::parse("https://anna:secret@proxy.example:8443/go/")?;
/// assert_eq!(url.to_string(), "https://xxxxx@proxy.example:8443/go");
/// assert_eq!(url.path(), "/go");
/// # Ok::<(), modmesh_protocol::goproxy::UrlFault>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    text: String,
    scheme: Scheme,
    userinfo: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// How a proxy is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A directory of this host, in the layout of a proxy.
    File,
}

/// What makes a text no URL of a module proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// No scheme, as in `/a/directory` or `word`.
    #[error("not a URL: begin it with https://, http:// or file:///")]
    NoScheme,
    /// A scheme that no module proxy has.
    #[error("unknown scheme: https, http and file are possible")]
    Scheme,
    /// No host, or characters that no host has.
    #[error("the host is missing or not valid (write international names in their xn-- form)")]
    Host,
    /// A port outside 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Userinfo with characters that must be percent-encoded there.
    #[error("the part before @ is not valid: percent-encode its special characters")]
    Userinfo,
    /// A broken percent-encoding, a control character, or a `.` or `..` element.
    #[error("the path is not valid: no control characters, broken %XX, `.` or `..`")]
    Path,
    /// A `?` or `#`.
    #[error("a query or fragment has no place in the URL of a module proxy")]
    QueryOrFragment,
    /// A `file` URL that is not `file:///path`.
    #[error("a file URL is file:/// and an absolute path, nothing else")]
    File,
}

impl ProxyUrl {
    /// Reads an `https`, `http` or `file` URL.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let (scheme, rest) = text.split_once(":/").ok_or(UrlFault::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "file" => Scheme::File,
            "" => return Err(UrlFault::NoScheme),
            _ => return Err(UrlFault::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(UrlFault::QueryOrFragment);
        }
        let missing = match scheme {
            Scheme::File => UrlFault::File,
            Scheme::Http | Scheme::Https => UrlFault::Host,
        };
        let rest = rest.strip_prefix('/').ok_or(missing)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if scheme == Scheme::File {
            return Self::file(authority, path);
        }
        let path = encode_path(path)?;
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(checked_userinfo(userinfo)?), host_port),
            None => (None, authority),
        };
        let (host, port) = split_port(host_port)?;
        let mut url = Self {
            text: String::new(),
            scheme,
            userinfo,
            host: checked_host(host)?,
            port,
            path,
        };
        url.text = url.with_userinfo(url.userinfo.as_deref());
        Ok(url)
    }

    /// The whole URL, secrets included: for requests, never for people.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether userinfo is in it.
    pub fn has_userinfo(&self) -> bool {
        self.userinfo.is_some()
    }

    /// The whole URL without its userinfo.
    pub fn without_userinfo(&self) -> String {
        self.with_userinfo(None)
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, an IPv6 address in brackets; empty for `file`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that is dialled; none for `file`.
    pub fn port_or_default(&self) -> Option<u16> {
        match self.scheme {
            Scheme::Http => Some(self.port.unwrap_or(80)),
            Scheme::Https => Some(self.port.unwrap_or(443)),
            Scheme::File => None,
        }
    }

    /// The base path, percent-encoded: empty, or with a slash at its begin and none at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The base path with its percent-encoding undone and a slash at its end: the directory of a `file` URL.
    pub fn directory(&self) -> Vec<u8> {
        let mut directory = percent_decode(&self.path);
        directory.push(b'/');
        directory
    }

    /// User and password, percent-encoding undone, as Basic authentication joins them: `user:password`.
    pub fn credentials(&self) -> Option<Vec<u8>> {
        let userinfo = self.userinfo.as_deref()?;
        let mut credentials = percent_decode(userinfo);
        if !userinfo.contains(':') {
            credentials.push(b':');
        }
        Some(credentials)
    }

    /// The host where it is an IP address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[') {
            Some(rest) => {
                let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
                Some(address.into())
            }
            None => self.host.parse().ok(),
        }
    }

    /// Whether the host is a spelling of `localhost` (RFC 6761, section 6.3).
    pub fn is_localhost(&self) -> bool {
        let host = self.host.strip_suffix('.').unwrap_or(&self.host);
        host == "localhost" || host.ends_with(".localhost")
    }

    /// Whether connections to it never leave this host.
    pub fn is_loopback(&self) -> bool {
        self.is_localhost()
            || self
                .host_ip()
                .is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    fn file(authority: &str, path: &str) -> Result<Self, UrlFault> {
        if !authority.is_empty() || path.is_empty() {
            return Err(UrlFault::File);
        }
        let path = encode_path(path)?;
        let root = if path.is_empty() { "/" } else { "" };
        Ok(Self {
            text: format!("file://{path}{root}"),
            scheme: Scheme::File,
            userinfo: None,
            host: String::new(),
            port: None,
            path,
        })
    }

    fn with_userinfo(&self, userinfo: Option<&str>) -> String {
        let scheme = self.scheme.as_str();
        let (userinfo, at) = userinfo.map_or(("", ""), |userinfo| (userinfo, "@"));
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let Self { host, path, .. } = self;
        if self.scheme == Scheme::File {
            return self.text.clone();
        }
        format!("{scheme}://{userinfo}{at}{host}{port}{path}")
    }
}

impl Scheme {
    /// `http`, `https` or `file`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::File => "file",
        }
    }
}

/// With `xxxxx` in place of any userinfo, so that it can be shown to anybody.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_userinfo(self.userinfo.as_ref().map(|_| REDACTED)))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// A text that may be meant as a URL, without what may be meant as its userinfo.
pub(super) fn redact(text: &str) -> String {
    let Some(at) = text.rfind('@') else {
        return text.to_owned();
    };
    let begin = text.find("://").map_or(0, |colon| colon + 3).min(at);
    format!("{}{REDACTED}{}", &text[..begin], &text[at..])
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let after_address = host_port.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = host_port[after_address..].rfind(':') else {
        return Ok((host_port, None));
    };
    let (host, port) = host_port.split_at(after_address + colon);
    let digits = &port[1..];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlFault::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(UrlFault::Port),
        Ok(port) => Ok((host, Some(port))),
    }
}

fn checked_host(host: &str) -> Result<String, UrlFault> {
    let is_valid = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !host.is_empty() && host.bytes().all(allowed)
        }
    };
    if is_valid {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(UrlFault::Host)
    }
}

fn checked_userinfo(userinfo: &str) -> Result<String, UrlFault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%@".contains(&byte);
    if userinfo.bytes().all(allowed) && has_whole_escapes(userinfo) {
        Ok(userinfo.to_owned())
    } else {
        Err(UrlFault::Userinfo)
    }
}

/// The path with everything encoded that RFC 3986 does not allow in it, and without slashes at its end.
fn encode_path(path: &str) -> Result<String, UrlFault> {
    if !has_whole_escapes(path) || path.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(UrlFault::Path);
    }
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let has_bad_element = encoded.split('/').any(|element| {
        let element = percent_decode(element);
        element == b"." || element == b".." || element.iter().any(|byte| b"/\0".contains(byte))
    });
    if has_bad_element {
        return Err(UrlFault::Path);
    }
    encoded.truncate(encoded.trim_end_matches('/').len());
    Ok(encoded)
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

/// Undoes percent-encoding in a text whose escapes are whole.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let hex = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        if let [high, low, after @ ..] = rest {
            decoded.push(hex(*high) << 4 | hex(*low));
            rest = after;
        }
    }
    decoded
}
