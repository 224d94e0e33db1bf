//! One setting: its name in all spellings, where its value came from, and how a text becomes a value.
//!
//! A name is the same word everywhere: `--store-limit`, `MODMESH_STORE_LIMIT`, `store-limit = ` in the file. Values stay
//! texts until the winning layer is known, so that a refusal can name the place where the text was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A setting of `modmesh up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Listen,
    AllowHost,
    State,
    StoreLimit,
    Upstream,
    Sumdb,
    GoSum,
    Private,
    PeerListen,
    Peer,
    NoMdns,
    MeshSecretFile,
    Member,
    Site,
    Offline,
    Neighbours,
    LimitUpload,
    LimitDownload,
    LimitUpstream,
    LimitSite,
    SiteBudget,
    SiteConnections,
    OnBattery,
    OnMetered,
    Log,
    LogFormat,
}

/// How many values a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One text.
    One,
    /// Any number: a repeated flag, a variable with commas, an array in the file.
    List,
    /// True or false; the flag alone means true.
    Switch,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(Name),
    Variable(String),
    File(PathBuf, Name),
    GoEnv(&'static str),
    /// What `modmesh setup` remembered, in this file.
    Setup(PathBuf),
    BuiltIn,
}

/// A checked value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

/// The texts one place gives for one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) texts: Vec<String>,
    pub(crate) source: Source,
}

/// All that one place gives: the flags, the environment, the file, `go env`.
pub(crate) type Layer = BTreeMap<Name, Given>;

/// The first of `layers` that gives `name`, strongest layer first.
pub(crate) fn winner(layers: &[Layer], name: Name) -> Option<&Given> {
    layers.iter().find_map(|layer| layer.get(&name))
}

impl Name {
    /// Every setting, in the order in which `modmesh config` shows them.
    pub(crate) const ALL: [Self; 26] = [
        Self::Listen,
        Self::AllowHost,
        Self::State,
        Self::StoreLimit,
        Self::Upstream,
        Self::Sumdb,
        Self::GoSum,
        Self::Private,
        Self::PeerListen,
        Self::Peer,
        Self::NoMdns,
        Self::MeshSecretFile,
        Self::Member,
        Self::Site,
        Self::Offline,
        Self::Neighbours,
        Self::LimitUpload,
        Self::LimitDownload,
        Self::LimitUpstream,
        Self::LimitSite,
        Self::SiteBudget,
        Self::SiteConnections,
        Self::OnBattery,
        Self::OnMetered,
        Self::Log,
        Self::LogFormat,
    ];

    /// The word that is the flag after `--` and the key in the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::AllowHost => "allow-host",
            Self::State => "state",
            Self::StoreLimit => "store-limit",
            Self::Upstream => "upstream",
            Self::Sumdb => "sumdb",
            Self::GoSum => "go-sum",
            Self::Private => "private",
            Self::PeerListen => "peer-listen",
            Self::Peer => "peer",
            Self::NoMdns => "no-mdns",
            Self::MeshSecretFile => "mesh-secret-file",
            Self::Member => "member",
            Self::Site => "site",
            Self::Offline => "offline",
            Self::Neighbours => "neighbours",
            Self::LimitUpload => "limit-upload",
            Self::LimitDownload => "limit-download",
            Self::LimitUpstream => "limit-upstream",
            Self::LimitSite => "limit-site",
            Self::SiteBudget => "site-budget",
            Self::SiteConnections => "site-connections",
            Self::OnBattery => "on-battery",
            Self::OnMetered => "on-metered",
            Self::Log => "log",
            Self::LogFormat => "log-format",
        }
    }

    /// The environment variable.
    pub(crate) fn variable(self) -> String {
        format!("MODMESH_{}", self.word().to_uppercase().replace('-', "_"))
    }

    /// How many values it has.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Listen
            | Self::AllowHost
            | Self::Sumdb
            | Self::GoSum
            | Self::Private
            | Self::PeerListen
            | Self::Peer
            | Self::Member => Shape::List,
            Self::NoMdns | Self::Offline => Shape::Switch,
            _ => Shape::One,
        }
    }
}

impl Source {
    /// The kind of place, as `modmesh config --json` says it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Variable(_) => "environment",
            Self::File(..) => "file",
            Self::GoEnv(_) => "go env",
            Self::Setup(_) => "setup",
            Self::BuiltIn => "built-in",
        }
    }

    /// The place itself: the flag, the variable, the path of the file.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::Flag(name) => Some(format!("--{}", name.word())),
            Self::Variable(variable) => Some(variable.clone()),
            Self::File(path, _) | Self::Setup(path) => Some(path.display().to_string()),
            Self::GoEnv(variable) => Some((*variable).to_owned()),
            Self::BuiltIn => None,
        }
    }
}

/// As a person would look it up: `--listen`, `MODMESH_LISTEN`, `key listen in /path/config.toml`, `go env GOPROXY`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{}", name.word()),
            Self::Variable(variable) => f.write_str(variable),
            Self::File(path, name) => write!(f, "key {} in {}", name.word(), path.display()),
            Self::GoEnv(variable) => write!(f, "go env {variable}"),
            Self::Setup(path) => write!(f, "modmesh setup, {}", path.display()),
            Self::BuiltIn => f.write_str("built-in"),
        }
    }
}

/// Reads a size: `20GiB`, `500MB`, or plain bytes. Letters may be of either case.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// Reads true or false in the words people use for them.
pub(crate) fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// The candidate that `word` was most likely meant to be, when one is near enough to be offered.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()) / 3)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or exchanged to make `b` of `a` (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let exchanged = row[j] + usize::from(letter != *other);
            next.push(exchanged.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("500MB", 500_000_000),
            ("20GiB", 20 << 30),
            ("20 gib", 20 << 30),
            ("1TB", 1_000_000_000_000),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "GiB", "20 apples", "-1", "1.5GiB", "20G", "99999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let words = || Name::ALL.iter().map(|name| name.word());
        assert_eq!(nearest("store_limit", words()), Some("store-limit"));
        assert_eq!(nearest("Listne", words()), Some("listen"));
        assert_eq!(nearest("upstrem", words()), Some("upstream"));
        assert_eq!(nearest("colour", words()), None);
    }

    #[test]
    fn a_name_is_the_same_word_in_every_spelling() {
        assert_eq!(Name::PeerListen.word(), "peer-listen");
        assert_eq!(Name::PeerListen.variable(), "MODMESH_PEER_LISTEN");
    }
}
