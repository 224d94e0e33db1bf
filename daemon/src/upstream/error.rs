//! How asking upstream can fail, as types: nobody reads the texts to decide anything.
//!
//! URLs in errors are those of the list's entries, without userinfo. The target of a redirect is never shown in full,
//! since storage behind a proxy puts access rights into it.

use std::fmt;
use std::io;
use std::time::Duration;

use modmesh_protocol::goproxy::{EntryOutcome, UrlFault};

/// The longest text of an error answer that is passed on.
pub(super) const ERROR_TEXT_BYTES_MAX: usize = 8 << 10;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// 404 or 410: the entry says that there is no such file.
    #[error("not found: {0}")]
    NotFound(ErrorAnswer),
    /// Another 4xx: the entry does not want to give it. Status and text are meant to pass unchanged.
    #[error("refused: {0}")]
    Refused(ErrorAnswer),
    /// 5xx, an odd status, a redirect that cannot be followed, or a coding that was not asked for.
    #[error("failed: {0}")]
    Failed(ErrorAnswer),
    /// No whole answer came: not connected, bad certificate, a deadline, or a body cut short.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What went wrong, and what to do about it where that is known.
        reason: String,
    },
    /// The list is `off`, or nothing is left of it.
    #[error("upstream is off: nothing is fetched from outside")]
    Off,
    /// `direct`: the `go` command ran and said no. From its text nobody can tell whether the repository has no such thing
    /// or cannot be reached.
    #[error("{0}")]
    DirectRefused(ErrorAnswer),
    /// `direct`: the `go` command could not say anything.
    #[error("the upstream list comes to `direct`, and {reason}")]
    DirectFailed {
        /// What went wrong, and what to do about it.
        reason: String,
    },
    /// The list has nothing before `direct` that answered, and whoever asks may not use that.
    #[error("{}", super::walk::NOT_YOURS_NOTE)]
    DirectNotYours,
    /// The body is longer than such a file may be.
    #[error("{url}: the answer is longer than the {bytes_max} bytes that are accepted")]
    TooLarge {
        /// Who was asked.
        url: String,
        /// The bound.
        bytes_max: u64,
    },
    /// Our own side could not take the body: a full disk, for example.
    #[error("cannot keep what upstream sends: {0}")]
    Sink(#[source] io::Error),
}

/// An answer that is not 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The HTTP status. A `file://` entry gives the status that `go` gives: 404 or 403.
    pub status: u16,
    /// The body, where it is plain text in UTF-8: unchanged, at most 8 KiB of it.
    pub text: Option<String>,
    /// Who was asked, without userinfo.
    pub url: String,
    /// How long it wants to be left alone, where it says.
    pub retry_after: Option<Duration>,
}

/// A setting that could never work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Userinfo would cross a network in the clear. Go refuses the same.
    #[error("{url}: credentials are not sent over plain http: use https")]
    InsecureCredentials {
        /// The entry, without userinfo.
        url: String,
    },
    /// A URL is needed and something else was given.
    #[error("`{url}`: {fault}")]
    Url {
        /// What was given, without userinfo.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// No certificate authority is known, so that no https entry could ever be trusted.
    #[error(
        "no certificate authorities were found on this host, so https cannot be used: \
         install them (the package is often called ca-certificates) or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// Bytes that were given as a certificate authority are none.
    #[error("an additional certificate authority cannot be read: {0}")]
    Root(String),
    /// An HTTP proxy setting that cannot be used.
    #[error("{variable} cannot be used: it must be the URL of an http, https or socks5 proxy")]
    Proxy {
        /// The environment variable. Its value may hold a password and is not shown.
        variable: &'static str,
    },
    /// The TLS library refuses to start.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl UpstreamError {
    /// How this counts for the list: [`EntryOutcome::NotFound`] for 404 and 410 only.
    pub fn outcome(&self) -> EntryOutcome {
        match self {
            Self::NotFound(_) => EntryOutcome::NotFound,
            _ => EntryOutcome::OtherError,
        }
    }

    /// The answer behind the error, where there was one.
    pub fn answer(&self) -> Option<&ErrorAnswer> {
        match self {
            Self::NotFound(answer)
            | Self::Refused(answer)
            | Self::Failed(answer)
            | Self::DirectRefused(answer) => Some(answer),
            _ => None,
        }
    }

    /// The error for a status that is not 200.
    pub(super) fn of_status(answer: ErrorAnswer) -> Self {
        match answer.status {
            404 | 410 => Self::NotFound(answer),
            400..=499 => Self::Refused(answer),
            _ => Self::Failed(answer),
        }
    }

    /// The same error once more, for the next who asks.
    pub(super) fn repeated(&self) -> Self {
        match self {
            Self::NotFound(answer) => Self::NotFound(answer.clone()),
            Self::Refused(answer) => Self::Refused(answer.clone()),
            Self::Failed(answer) => Self::Failed(answer.clone()),
            Self::DirectRefused(answer) => Self::DirectRefused(answer.clone()),
            Self::Unreachable { url, reason } => Self::Unreachable {
                url: url.clone(),
                reason: reason.clone(),
            },
            Self::DirectFailed { reason } => Self::DirectFailed {
                reason: reason.clone(),
            },
            Self::TooLarge { url, bytes_max } => Self::TooLarge {
                url: url.clone(),
                bytes_max: *bytes_max,
            },
            Self::Off => Self::Off,
            Self::DirectNotYours => Self::DirectNotYours,
            Self::Sink(error) => Self::Sink(io::Error::new(error.kind(), error.to_string())),
        }
    }

    /// The same error with one more line for the user to read.
    pub(super) fn with_note(mut self, note: &str) -> Self {
        match &mut self {
            Self::NotFound(answer)
            | Self::Refused(answer)
            | Self::Failed(answer)
            | Self::DirectRefused(answer) => {
                answer.text = Some(match answer.text.take() {
                    Some(text) => format!("{}\n{note}", text.trim_end()),
                    None => note.to_owned(),
                });
            }
            Self::Unreachable { reason, .. } | Self::DirectFailed { reason } => {
                reason.push_str("; ");
                reason.push_str(note);
            }
            Self::Off | Self::DirectNotYours | Self::TooLarge { .. } | Self::Sink(_) => {}
        }
        self
    }
}

impl ErrorAnswer {
    /// What was answered, without who did.
    pub(super) fn in_words(&self) -> String {
        match &self.text {
            Some(text) => format!("answered {}: {}", self.status, text.trim_end()),
            None => format!("answered {}", self.status),
        }
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.in_words())
    }
}

/// The text of an error answer, where it is meant for people: declared as plain text in UTF-8 (or a subset of it), as
/// in cmd/go/internal/web, and without control characters.
pub(super) fn plain_text(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let mut parameters = content_type?.split(';').map(str::trim);
    if !parameters.next()?.eq_ignore_ascii_case("text/plain") {
        return None;
    }
    let charset = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    if !matches!(charset.as_deref(), None | Some("utf-8" | "us-ascii")) {
        return None;
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // Only a character that the cut at the bound halved.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(body.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_binary = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    (!text.trim().is_empty() && !text.contains(is_binary)).then(|| text.to_owned())
}
