//! The setting GOSUMDB: which checksum database judges modules, and where it is asked.
//!
//! The rules are those of `dbDial` in `cmd/go/internal/modfetch/sumdb.go`. A [`DatabaseSpec`] always has a key that
//! can verify and a name that is safe as part of a URL and of a file name. How the database is reached, through the
//! upstream or directly, is the caller's business; an explicit URL means directly and nothing else.

use std::fmt;
use std::str::FromStr;

use super::note::{KeyError, SUM_GOLANG_ORG, VerifierKey};

const PUBLIC_NAME: &str = "sum.golang.org";
const PUBLIC_ALIAS: &str = "sum.golang.google.cn";

/// What GOSUMDB says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SumdbSetting {
    /// `off`: modules are not judged by a checksum database.
    Off,
    /// This database judges.
    Database(DatabaseSpec),
}

/// A checksum database: its key, and where it is asked when that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// The key that signs the database's heads.
    pub key: VerifierKey,
    /// An explicit base URL without a slash at its end. It bypasses the upstream's `/sumdb/NAME/`.
    pub url: Option<String>,
}

/// A text that GOSUMDB must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Nothing there.
    #[error(
        "no checksum database given: `off`, `sum.golang.org`, or `name+hash+key` with an optional URL is expected"
    )]
    Missing,
    /// A third word, or a URL after `off`.
    #[error("too many words: at most a database and a URL are expected")]
    TooManyWords,
    /// A name alone that is not the public database's.
    #[error("the key of checksum database {0:?} is not built in: give it as `name+hash+key`")]
    UnknownName(String),
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A name that is no host with an optional path.
    #[error("{0:?} is no name for a checksum database: `host` or `host/path` is expected")]
    Name(String),
    /// A URL that cannot be used.
    #[error(
        "{0:?} is no URL for a checksum database: `https://`, `http://` or `file://` is expected"
    )]
    Url(String),
}

impl SumdbSetting {
    /// Reads a value of GOSUMDB.
    ///
    /// Wider than Go in two harmless points: blanks around `off` do not matter, and the alias sum.golang.google.cn may
    /// be followed by a URL. Narrower in one: names with percent escapes, brackets or dot segments are refused.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let mut words = text.split_whitespace();
        let database = words.next().ok_or(SettingError::Missing)?;
        let url = words.next();
        if words.next().is_some() || (database == "off" && url.is_some()) {
            return Err(SettingError::TooManyWords);
        }
        if database == "off" {
            return Ok(Self::Off);
        }
        let url = url.map(parse_url).transpose()?;
        let spec = match database {
            PUBLIC_NAME => DatabaseSpec {
                key: VerifierKey::sum_golang_org(),
                url,
            },
            PUBLIC_ALIAS => DatabaseSpec {
                key: VerifierKey::sum_golang_org(),
                url: url.or_else(|| Some(format!("https://{PUBLIC_ALIAS}"))),
            },
            name if !name.contains('+') => return Err(SettingError::UnknownName(name.to_owned())),
            key => DatabaseSpec {
                key: VerifierKey::parse(key)?,
                url,
            },
        };
        if !is_database_name(spec.name()) {
            return Err(SettingError::Name(spec.name().to_owned()));
        }
        Ok(Self::Database(spec))
    }
}

impl DatabaseSpec {
    /// The public Go checksum database, asked where the go command asks it.
    pub fn sum_golang_org() -> Self {
        Self {
            key: VerifierKey::sum_golang_org(),
            url: None,
        }
    }

    /// The database's name: a host, perhaps with a path.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// The base URL, without a slash at its end, at which the database itself is asked.
    pub fn direct_url(&self) -> String {
        match &self.url {
            Some(url) => url.clone(),
            None => format!("https://{}", self.name()),
        }
    }
}

impl fmt::Display for SumdbSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Database(spec) => spec.fmt(f),
        }
    }
}

impl fmt::Display for DatabaseSpec {
    /// The shortest value of GOSUMDB that means this database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            SUM_GOLANG_ORG => f.write_str(PUBLIC_NAME)?,
            key => f.write_str(key)?,
        }
        match &self.url {
            Some(url) => write!(f, " {url}"),
            None => Ok(()),
        }
    }
}

impl FromStr for SumdbSetting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Self::parse(text)
    }
}

fn parse_url(text: &str) -> Result<String, SettingError> {
    let url = text.trim_end_matches('/');
    let plain = url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'\\'));
    let place = ["https://", "http://", "file://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if plain && place.is_some_and(|place| !place.is_empty()) {
        Ok(url.to_owned())
    } else {
        Err(SettingError::Url(text.to_owned()))
    }
}

/// Whether `name` is `host`, `host:port` or `host/path`, in characters that mean the same in a URL and in a file name.
fn is_database_name(name: &str) -> bool {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (name, None),
    };
    let host = match host.split_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) => return false,
        None => host,
    };
    is_segment(host) && path.is_none_or(|path| path.split('/').all(is_segment))
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~'))
}
