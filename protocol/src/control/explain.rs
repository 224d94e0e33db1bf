//! What the daemon knows of one module version: the JSON of `/v1/explain` on its own socket, and of `modmesh explain --json`.
//!
//! It names a module, so it is told to the daemon's own user alone and never crosses a network. The rules for names are
//! those of [`super`]; a kind of step that a reader does not know reads as [`Did::Other`].

use serde::{Deserialize, Serialize};

use super::UpstreamStatus;
use crate::artifact::FileKind;
use crate::digest::{BlobId, H1};
use crate::peer_name::PeerName;

/// The answer of `/v1/explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The module's path, in its plain form.
    pub module: String,
    /// The version.
    pub version: String,
    /// How this host treats the module.
    pub treatment: Treatment,
    /// Its files: `.info`, `.mod` and `.zip`, in this order.
    pub files: Vec<FileExplanation>,
    /// Whether this host deals with members alone, who hear of private modules too.
    #[serde(default)]
    pub among_members: bool,
    /// Who would be asked, the first one in front, which of the hosts that want a file of the module fetches it, see
    /// [`crate::lease`]. Nobody where this host has no neighbours, or neighbours never hear of the module.
    #[serde(default)]
    pub owners: Vec<OwnerName>,
}

/// A host that decides who fetches a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerName {
    /// Who it is.
    pub peer_id: PeerName,
    /// Whether it is the host that was asked.
    pub is_this_host: bool,
}

/// How a host treats a module, by its path and the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// The checksum database judges it; neighbours may be asked for it.
    Judged,
    /// A Go toolchain: judged even where the database is off for modules.
    Toolchain,
    /// It matches a private pattern: the database never hears of it, and of neighbours members alone.
    Private,
    /// The checksum database is off.
    Unjudged,
}

/// One file of a module version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileExplanation {
    /// Which file.
    pub kind: FileKind,
    /// What is here of it; nothing when it is not here.
    pub here: Option<FileHere>,
    /// Where it is not here: whether it was put aside as damaged, and lies there still. Nothing from older daemons.
    #[serde(default)]
    pub put_aside: Option<bool>,
    /// The last time it was fetched or tried, as far as the daemon remembers: not over its own restart.
    pub last_fetch: Option<Story>,
    /// Who else has it now.
    pub neighbours: Neighbours,
    /// Whom a request for it would ask now; nothing when it is here.
    pub would_ask: Option<WouldAsk>,
}

/// Whom a request would ask, neighbours first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldAsk {
    /// How many neighbours are connected that may be asked for it.
    pub neighbours: u32,
    /// The upstream list; empty when it is `off`.
    pub upstream: Vec<UpstreamStatus>,
}

/// A file that is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileHere {
    /// `proven`, `local` (a go.sum of this host's user vouches for it), `unlisted` or `pending`; nothing for `.info`, which no hash
    /// covers.
    pub scope: Option<String>,
    /// The name of the go.sum that vouches for a local file.
    #[serde(default)]
    pub go_sum: Option<String>,
    /// Why the database does not vouch for a file, or why what is here will not be served as it is.
    pub note: Option<String>,
    /// The record that proves it.
    pub record: Option<RecordName>,
    /// The hash of its contents, as in go.sum.
    pub h1: Option<H1>,
    /// The SHA-256 of its bytes.
    pub sha256: Option<BlobId>,
    /// Its length in bytes.
    pub length: u64,
    /// Whether it has the one form in which neighbours take zips; nothing for `.info`.
    pub canonical: Option<bool>,
    /// Whether neighbours may have it.
    pub shareable: bool,
    /// When its bytes were written here, RFC 3339 in UTC; nothing when the file system does not say.
    pub since: Option<String>,
}

/// A record of a checksum database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordName {
    /// The database's name.
    pub database: String,
    /// The record's number in its log.
    pub id: u64,
}

/// Who else has a file, as they said just now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbours {
    /// How many were asked.
    pub asked: u32,
    /// How many of them did not answer in time.
    pub silent: u32,
    /// Those that say they have it.
    pub have_it: Vec<PeerName>,
    /// Why nobody was asked.
    pub not_asked: Option<String>,
}

/// How a file was fetched, or why it was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// When it began, RFC 3339 in UTC by this host's clock.
    pub began: String,
    /// How long it took, in milliseconds; nothing while it is under way.
    pub took_ms: Option<f64>,
    /// How it ended; nothing while it is under way.
    pub outcome: Option<Outcome>,
    /// What was done, in the order in which it ended.
    pub steps: Vec<Step>,
    /// Steps in the middle that are not told, for there were too many.
    pub steps_left_out: u32,
}

/// How a fetch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Outcome {
    /// The file is here.
    Kept {
        /// `peer`, `upstream`, or `none` for what this host made itself: the words of `X-Modmesh-Source`.
        from: String,
    },
    /// There was none to be had.
    Failed {
        /// What whoever asked was told.
        reason: String,
    },
}

/// One step of a fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When it began, in milliseconds since the beginning of the story.
    pub at_ms: f64,
    /// How long it took, in milliseconds. Steps may overlap.
    pub took_ms: f64,
    /// What was done.
    #[serde(flatten)]
    pub did: Did,
}

/// What was done in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Did {
    /// Neighbours were asked who has the file.
    Locate {
        /// How many were asked.
        asked: u32,
        /// How many of them did not answer in time.
        silent: u32,
        /// Those that said they have it.
        have_it: Vec<PeerName>,
        /// Whether these are neighbours of other sites; else they are of this one.
        #[serde(default)]
        across: bool,
    },
    /// What the checksum database says was found out.
    Record {
        /// Who told: `store` for what was here, `neighbour NAME`, `upstream`; `nobody` when none could, `settings` when it
        /// follows from this host's own, and `go.sum` where the database says nothing and a line of that does.
        from: String,
        /// The record; nothing when there is none.
        record: Option<RecordName>,
        /// Why there is none.
        reason: Option<String>,
    },
    /// A neighbour was to send the file.
    Transfer {
        /// Which.
        peer: PeerName,
        /// Whether it is of another site.
        #[serde(default)]
        across: bool,
        /// Bytes that came.
        bytes: u64,
        /// Why that was not all; nothing when the file came whole.
        failed: Option<String>,
    },
    /// The upstream was asked.
    Upstream {
        /// The entry's URL for this file, user and password hidden; nothing when there was nobody to ask.
        url: Option<String>,
        /// The status of its answer; nothing when none came.
        status: Option<u16>,
        /// Bytes that came.
        bytes: u64,
        /// Why there is no file; nothing when it came whole.
        failed: Option<String>,
    },
    /// It was waited for a busy neighbour.
    Wait,
    /// The owners of the module were asked who of this network fetches it, and said what to do.
    Together {
        /// Who had it in the end; nobody where this host was to fetch it itself, or could not.
        had_it: Vec<PeerName>,
        /// Whether this host was to fetch it itself. Older daemons do not say, and most often mean that.
        #[serde(default = "yes")]
        may_fetch: bool,
        /// Whom this host had waited for until then, the first one in front, three at most: in vain, where it is nobody who had it.
        #[serde(default)]
        waited_for: Vec<PeerName>,
    },
    /// The owners said that somebody else fetches it: from then on this host waited.
    ToldToWait {
        /// Who fetches it.
        fetches: PeerName,
    },
    /// A place was waited for among the requests that the hosts of the site have under way to their upstream.
    Line {
        /// Whether none came, and the upstream was asked all the same.
        in_vain: bool,
    },
    /// It was decided whether the upstream or another site is asked next.
    Way {
        /// Whether it is another site.
        across: bool,
        /// Why, as a fragment for a person.
        why: String,
    },
    /// The gate held the file against what it must be.
    Judge {
        /// The scope that it has from then on; nothing when it was refused.
        scope: Option<String>,
        /// Why it was refused.
        refused: Option<String>,
    },
    /// It was put into the store.
    Commit {
        /// Why that failed; nothing when it did not.
        failed: Option<String>,
    },
    /// A step of a newer daemon.
    #[serde(other)]
    Other,
}

fn yes() -> bool {
    true
}

impl Treatment {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Toolchain => "toolchain",
            Self::Private => "private",
            Self::Unjudged => "unjudged",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_a_newer_daemon_is_passed_over() {
        let json = r#"{"at_ms": 1.5, "took_ms": 2, "step": "lease", "owner": "somebody"}"#;
        let step: Step = serde_json::from_str(json).unwrap();
        assert_eq!(step.did, Did::Other);
    }

    #[test]
    fn the_names_in_json_are_for_good() {
        let step = Step {
            at_ms: 0.5,
            took_ms: 12.25,
            did: Did::Upstream {
                url: Some("https://a.example/m/@v/v1.0.0.zip".to_owned()),
                status: Some(404),
                bytes: 0,
                failed: Some("not found".to_owned()),
            },
        };
        assert_eq!(
            serde_json::to_value(&step).unwrap(),
            serde_json::json!({
                "at_ms": 0.5, "took_ms": 12.25, "step": "upstream", "url": "https://a.example/m/@v/v1.0.0.zip",
                "status": 404, "bytes": 0, "failed": "not found",
            })
        );
        let outcome = Outcome::Kept {
            from: "peer".to_owned(),
        };
        assert_eq!(
            serde_json::to_value(&outcome).unwrap(),
            serde_json::json!({"result": "kept", "from": "peer"})
        );
    }
}
