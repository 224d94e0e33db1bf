//! GOPROXY lists: which module proxies are asked, in which order, and after which answers the next one is tried.
//!
//! The rules are those of `proxyList` and `TryProxies` in cmd/go/internal/modfetch/proxy.go: `,` goes on after "not
//! found" only, `|` after any error; `off` and `direct` end the list and what follows them is not even looked at.
//! A list that was parsed always has at least one entry; [`ProxyList::without`] may leave none. Secrets in URLs are
//! kept for the one who sends them and are never shown. Nothing here is asked: `daemon::upstream` walks the list.

mod url;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use url::{ProxyUrl, Scheme, UrlFault};

/// One element of a GOPROXY list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyEntry {
    /// A module proxy, or a `file://` tree in the layout of one.
    Url(ProxyUrl),
    /// The version control system of the module itself.
    Direct,
    /// Nobody: the list ends here.
    Off,
}

/// What stands after an entry: when the next entry is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `,`: only after "not found" (404 or 410).
    Comma,
    /// `|`: after any error.
    Pipe,
}

/// A parsed GOPROXY list, for example `https://proxy.example,https://other.example|direct`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyList {
    /// Each entry with the separator that follows it; the separator of the last one has no effect.
    entries: Vec<(ProxyEntry, Separator)>,
}

/// How asking an entry ended, as far as the list is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOutcome {
    /// The entry said 404 or 410.
    NotFound,
    /// Any other status, or no answer.
    OtherError,
}

/// What to do after an entry failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the entry with this index.
    Try(usize),
    /// The list ends here.
    Stop,
}

/// A GOPROXY list that cannot be used. Texts are redacted: they may be printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyListError {
    /// The text holds no entry, as `","` does.
    #[error("the proxy list has no entries: give at least one URL, or `off`")]
    Empty,
    /// One entry is no usable URL.
    #[error("proxy list entry `{entry}`: {fault}")]
    Url {
        /// The entry, without its userinfo.
        entry: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
}

impl ProxyList {
    /// Reads GOPROXY syntax. Blanks around entries and empty entries are skipped, `https://` is put before an entry
    /// that looks like a host, and everything after the first `off` or `direct` is ignored.
    pub fn parse(text: &str) -> Result<Self, ProxyListError> {
        let mut entries = Vec::new();
        for (word, separator) in split(text) {
            let entry = match word {
                "" => continue,
                "off" => ProxyEntry::Off,
                "direct" => ProxyEntry::Direct,
                word => ProxyEntry::Url(parse_url(word)?),
            };
            let ends_the_list = !matches!(entry, ProxyEntry::Url(_));
            entries.push((entry, separator));
            if ends_the_list {
                break;
            }
        }
        if entries.is_empty() {
            return Err(ProxyListError::Empty);
        }
        Ok(Self { entries })
    }

    /// The entries in the order in which they are asked.
    pub fn entries(&self) -> impl Iterator<Item = &ProxyEntry> {
        self.entries.iter().map(|(entry, _)| entry)
    }

    /// The list without the proxies that are really us, listening at `addresses`: whoever asked himself would wait
    /// for himself. An entry is taken out together with the separator that follows it.
    pub fn without(&self, addresses: &[SocketAddr]) -> Self {
        let is_ours = |entry: &ProxyEntry| match entry {
            ProxyEntry::Url(url) => addresses.iter().any(|address| reaches(url, *address)),
            ProxyEntry::Direct | ProxyEntry::Off => false,
        };
        let kept = self.entries.iter().filter(|(entry, _)| !is_ours(entry));
        Self {
            entries: kept.cloned().collect(),
        }
    }

    /// What to do when the entry with this `index` ended with `outcome`.
    pub fn next_after(&self, index: usize, outcome: EntryOutcome) -> Step {
        let Some((_, separator)) = self.entries.get(index) else {
            return Step::Stop;
        };
        let goes_on = outcome == EntryOutcome::NotFound || *separator == Separator::Pipe;
        if goes_on && index + 1 < self.entries.len() {
            Step::Try(index + 1)
        } else {
            Step::Stop
        }
    }

    /// Whether it asks the same of everybody, whoever has it: no entry carries userinfo, which may open to one what it does not open to
    /// another, and none is a folder, which is another on each host.
    pub fn is_alike(&self) -> bool {
        self.entries().all(|entry| match entry {
            ProxyEntry::Url(url) => url.scheme() != Scheme::File && !url.has_userinfo(),
            ProxyEntry::Direct | ProxyEntry::Off => true,
        })
    }

    /// Whether nobody is to be asked at all: the list begins with `off`, or nothing is left of it.
    pub fn is_off(&self) -> bool {
        matches!(self.entries.first(), None | Some((ProxyEntry::Off, _)))
    }
}

/// Without userinfo. An empty list is shown as `off`, which is what it means.
impl fmt::Display for ProxyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("off");
        }
        let mut before = "";
        for (entry, separator) in &self.entries {
            write!(f, "{before}{entry}")?;
            before = match separator {
                Separator::Comma => ",",
                Separator::Pipe => "|",
            };
        }
        Ok(())
    }
}

impl fmt::Display for ProxyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Direct => f.write_str("direct"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// The trimmed words of a list, each with the separator after it.
fn split(text: &str) -> impl Iterator<Item = (&str, Separator)> {
    text.split_inclusive([',', '|']).map(|piece| {
        if let Some(word) = piece.strip_suffix('|') {
            (word.trim(), Separator::Pipe)
        } else {
            let word = piece.strip_suffix(',').unwrap_or(piece);
            (word.trim(), Separator::Comma)
        }
    })
}

/// Reads one entry. Words without any of `.:/` are reserved by Go for names like `direct`; a host may stand alone.
fn parse_url(word: &str) -> Result<ProxyUrl, ProxyListError> {
    let looks_like_a_host =
        word.contains(['.', ':', '/']) && !word.contains(":/") && !word.starts_with('/');
    let parsed = if looks_like_a_host {
        ProxyUrl::parse(&format!("https://{word}"))
    } else {
        ProxyUrl::parse(word)
    };
    parsed.map_err(|fault| ProxyListError::Url {
        entry: url::redact(word),
        fault,
    })
}

/// Whether a connection to `url` from this host ends at a socket that listens on `address`.
fn reaches(url: &ProxyUrl, address: SocketAddr) -> bool {
    if url.port_or_default() != Some(address.port()) {
        return false;
    }
    let listening = address.ip().to_canonical();
    match url.host_ip() {
        Some(dialled) => {
            let dialled = dialled.to_canonical();
            // Dialling the unspecified address means dialling loopback.
            let is_local = dialled.is_loopback() || dialled.is_unspecified();
            dialled == listening
                || is_local && takes_all(listening, dialled)
                || dialled.is_unspecified() && listening.is_loopback()
        }
        None => url.is_localhost() && (listening.is_loopback() || listening.is_unspecified()),
    }
}

/// Whether a socket bound to `listening` takes connections to all local addresses of `dialled`'s family. The
/// unspecified IPv6 address takes IPv4 too, unless told otherwise.
fn takes_all(listening: IpAddr, dialled: IpAddr) -> bool {
    listening.is_unspecified() && (listening.is_ipv6() || dialled.is_ipv4())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
