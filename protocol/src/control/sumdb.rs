//! The JSON of `/v1/sumdb`: what the daemon knows of its checksum databases, and what it did about one.

use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/sumdb`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Databases {
    /// Every database that is mirrored, the judging one first.
    pub databases: Vec<Database>,
}

/// One checksum database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name, as in GOSUMDB.
    pub name: String,
    /// Its verifier key, `NAME+HASH+KEY`.
    pub key: String,
    /// What it judges here.
    pub judges: Judges,
    /// Which of its logs is followed: 0 for the first, and one more each time that a person gave one up.
    #[serde(default)]
    pub log: u64,
    /// The tree head that is held here; nothing before the first.
    pub head: Option<Head>,
    /// Seconds since it was got, by this host's clock.
    pub head_age_seconds: Option<u64>,
    /// A head that was accepted and is not proved yet.
    #[serde(default)]
    pub accepted: Option<Head>,
    /// Records held here.
    pub records: u64,
    /// Tiles that clients may need when nobody else can be asked, and that were not to be had at the last look.
    pub missing_tiles: u64,
    /// How it is asked: a line for a person; nothing when only neighbours are.
    pub asked: Option<String>,
    /// Why it could not be asked lately.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Heads that it signed and that contradict the log followed here, in the order in which they came.
    pub contradictions: Vec<Contradiction>,
    /// A shorter log that could be joined to this one by nobody lately, so that it is not known whether it is the same.
    #[serde(default)]
    pub unjoined: Option<Unjoined>,
    /// Who showed a log lately that was given up here.
    #[serde(default)]
    pub showing_given_up: Vec<String>,
    /// Folders with logs that were given up, the newest first.
    #[serde(default)]
    pub given_up: Vec<String>,
}

/// What a database judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judges {
    /// Modules and toolchains.
    Modules,
    /// Toolchains alone.
    Toolchains,
    /// Nothing: it is only mirrored.
    Nothing,
}

/// A tree head without its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its name for `accept --head`: its size, and the beginning of its root.
    pub name: String,
    /// Records under it.
    pub size: u64,
    /// The root hash, in base64 as it was signed.
    pub root: String,
}

/// Two heads that the database signed and that cannot belong to one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// That of the log which is followed here.
    pub ours: Head,
    /// The one that was refused.
    pub other: Head,
    /// Who showed it, as a word for people; nothing where an earlier release did not write it down.
    pub shown_by: Option<String>,
    /// When, RFC 3339 in UTC by this host's clock.
    pub at: Option<String>,
    /// The file with both as they were signed.
    pub file: String,
}

/// A shorter log of which it is not known whether it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unjoined {
    /// Its head.
    pub theirs: Head,
    /// Records in the log that is followed here.
    pub ours: u64,
    /// Who showed it, as a word for people.
    pub shown_by: String,
    /// When, RFC 3339 in UTC by this host's clock.
    pub at: Option<String>,
}

/// The answer of `POST /v1/sumdb/forget` and `/v1/sumdb/accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunAnew {
    /// The database's name.
    pub name: String,
    /// Which of its logs is followed now.
    pub log: u64,
    /// Where the log before it is kept; nothing where nothing was known of it.
    #[serde(default)]
    pub aside: Option<String>,
    /// Whether the log before it contradicted another one, so that other hosts and `go` may have to take the step too.
    #[serde(default)]
    pub was_contradicted: bool,
    /// The head that was accepted.
    pub accepted: Option<Head>,
    /// Whether it is proved and current already.
    pub is_current: bool,
    /// Files of the store that rested on the log before it: they are judged again.
    pub doubted: u64,
    /// Those of them that were not judged again yet: there was no time for it, or they wait for the database.
    pub waiting: u64,
}
