//! What the daemon tells the command line: the JSON of `/api/v1/status` and `/api/v1/peers`, and of `/v1/explain` and
//! `/v1/gosum` and `/v1/sumdb` on its own socket.
//!
//! `modmesh status --json` and `modmesh peers --json` print these values unchanged, and scripts rely on the names: fields
//! are added, never renamed or removed. Readers skip fields they do not know, and fields added after the first release
//! carry a default, so that an older command line understands a newer daemon and the reverse.

mod explain;
mod go_sum;
mod limits;
pub mod sumdb;

pub use explain::{
    Did, Explanation, FileExplanation, FileHere, Neighbours, Outcome, OwnerName, RecordName, Step,
    Story, Treatment, WouldAsk,
};
pub use go_sum::{GO_SUM_NAME_BYTES_MAX, GO_SUM_NAMED_MAX, GoSumFault, GoSumStatus, GoSumTaken};
pub use limits::{CapStatus, Limits, LineStatus, RateStatus};

use serde::{Deserialize, Serialize};

use crate::peer_name::PeerName;

/// The name of the daemon's own socket in its state folder.
pub const SOCKET_NAME: &str = "control.sock";
/// Longest path, in bytes, that a socket can have: `sun_path` of Linux (unix(7)) without its end mark.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The answer of `/api/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The release of the daemon.
    pub version: String,
    /// The name of this host in the mesh.
    pub peer_id: PeerName,
    /// The multiaddresses it listens on for neighbours, with its name, ready for `--peer` elsewhere.
    pub peer_addrs: Vec<String>,
    /// The first address the `go` command is served on, `IP:PORT`.
    pub listen: String,
    /// Every address the `go` command is served on.
    #[serde(default)]
    pub listen_addrs: Vec<String>,
    /// The state folder.
    pub state_dir: String,
    /// Seconds since the daemon began to serve.
    pub uptime_seconds: u64,
    /// Whether it was told never to ask an upstream.
    pub offline: bool,
    /// The upstream list, in the order it is asked; empty when it is `off`.
    pub upstream: Vec<UpstreamStatus>,
    /// The checksum databases, the judging one first; empty when all are `off`.
    pub sumdb: Vec<DatabaseStatus>,
    /// The go.sum files that were given to it.
    #[serde(default)]
    pub go_sum: GoSumStatus,
    /// The store.
    pub store: StoreStatus,
    /// Bytes given and sent since start.
    pub traffic: Traffic,
    /// The neighbours in numbers.
    pub peers: PeerCounts,
    /// What this host has to do with downloads that several hosts want.
    #[serde(default)]
    pub leases: Leases,
    /// By what this host knows its members; nothing when it has neither mesh secret nor list, and deals with everybody.
    #[serde(default)]
    pub membership: Option<MembershipStatus>,
    /// The site of this host, and what goes between it and others.
    #[serde(default)]
    pub site: SiteStatus,
    /// The limits that it keeps to.
    #[serde(default)]
    pub limits: Limits,
    /// The addresses given with `--peer` that cannot be reached now.
    #[serde(default)]
    pub unreached_peers: Vec<UnreachedPeer>,
    /// The default port for neighbours, when another program had it at the start and any free one was taken.
    #[serde(default)]
    pub peer_port_in_use: Option<u16>,
    /// Lines for a person, each with its remedy: for example that nothing can be shared because the database is off. Those
    /// that begin with [`NOTICE_OF_SECURITY`] or [`NOTICE_OF_A_PROBLEM`] and a colon are more than a shortcoming.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// The first word of a notice that somebody may have been deceived.
pub const NOTICE_OF_SECURITY: &str = "SECURITY";
/// The first word of a notice that something does not work.
pub const NOTICE_OF_A_PROBLEM: &str = "PROBLEM";

/// One entry of the upstream list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its address without user and password, or `direct`, or `off`.
    pub url: String,
    /// What the last attempt to reach it said: `untried`, `up` or `down`; or `resting`, when it was reached and asked to be left
    /// alone (`Retry-After`).
    pub state: String,
    /// Why it is down or rests, as a line for a person.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how many seconds it is known to be down, by this host's clock.
    #[serde(default)]
    pub down_seconds: Option<u64>,
    /// For how many seconds it is still left alone.
    #[serde(default)]
    pub rest_seconds: Option<u64>,
    /// The member that said that it wants to be left alone; nothing where it told this host itself.
    #[serde(default)]
    pub rest_heard_from: Option<PeerName>,
}

/// One mirrored checksum database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Its name, as in GOSUMDB.
    pub name: String,
    /// Records under the head held here; 0 before the first head.
    pub tree_size: u64,
    /// Records held here.
    pub records: u64,
    /// Seconds since the head held here was got, by this host's clock; nothing before the first head.
    #[serde(default)]
    pub head_age_seconds: Option<u64>,
    /// Tiles that clients may need when nobody else can be asked, and that were not to be had at the last look.
    #[serde(default)]
    pub missing_tiles: u64,
}

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes above which the longest unused files go.
    pub limit_bytes: u64,
    /// Files with a proof.
    pub blobs: u64,
    /// Module versions whose go.mod is here.
    pub module_versions: u64,
}

/// Bytes given to `go`, by where each answer came from when it was asked for, and bytes sent to neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Given to `go` from the store.
    pub from_store_bytes: u64,
    /// Given to `go` after a neighbour had sent it for that request.
    pub from_peers_bytes: u64,
    /// Given to `go` after upstream had sent it for that request.
    pub from_upstream_bytes: u64,
    /// Sent to neighbours, questions and answers included.
    pub to_peers_bytes: u64,
}

/// The neighbours in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerCounts {
    /// Neighbours that can be asked now.
    pub connected: u64,
    /// Those of them that proved membership.
    pub members: u64,
    /// Hosts of this site that neighbours tell of and that are no neighbours, in a network larger than this host's room for them.
    #[serde(default)]
    pub beyond: u64,
}

/// Downloads that several hosts want at the same time, see [`crate::lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leases {
    /// Leases that this host has granted as an owner and that are in force.
    pub granted: u64,
    /// Hosts that this one, as an owner, has told to wait.
    pub waiting: u64,
    /// Files and records that this host fetches now and others may wait for.
    pub fetching: u64,
    /// Files and records for which this host waits now.
    pub waits: u64,
}

/// A host's site, and what goes between it and other sites.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Its name; nothing where a person gave none, and the site is the link.
    pub name: Option<String>,
    /// Neighbours of other sites that can be asked now.
    pub neighbours_across: u64,
    /// Bytes of questions, answers and files that came from other sites.
    pub received_bytes: u64,
    /// Bytes of questions, answers and files that went to other sites.
    pub sent_bytes: u64,
    /// Bytes that may go between sites in 24 hours, both ways together; nothing where there is no budget.
    pub budget_bytes: Option<u64>,
    /// What is left of it now.
    pub budget_left_bytes: Option<u64>,
}

/// By what a host knows its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MembershipStatus {
    /// Mesh secrets, each of which makes a member; more than one while they are being exchanged.
    pub secrets: u64,
    /// Names given with `--member`.
    pub listed: u64,
}

/// The answer of `POST /v1/distrust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// Whose word it was.
    pub peer_id: PeerName,
    /// Whether it is distrusted now.
    pub is_distrusted: bool,
    /// Files that rested on its word and were dropped.
    pub files: u64,
    /// First hashes that rested on its word and were forgotten.
    pub memories: u64,
}

/// An address of `--peer` that cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachedPeer {
    /// The multiaddress.
    pub address: String,
    /// What went wrong with the last call, as a lowercase fragment.
    pub reason: String,
}

/// One neighbour, an element of the answer of `/api/v1/peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name.
    pub peer_id: PeerName,
    /// Addresses it was reached at or came from, the present ones first.
    pub addrs: Vec<String>,
    /// Whether it is a neighbour that can be asked now: connected, greeted, not banned, and here to stay.
    pub connected: bool,
    /// Whether it is no neighbour, and can be asked now all the same: a host beyond the neighbours that called on an errand, or was
    /// called on one. Such a one is not `connected`.
    #[serde(default)]
    pub on_errand: bool,
    /// How this host first met it.
    pub found_by: FoundBy,
    /// Whether it proved membership.
    pub member: bool,
    /// The name of its site, by its own word; nothing where it has none, or does not know of sites.
    #[serde(default)]
    pub site: Option<String>,
    /// Whether that is another site than this host's.
    #[serde(default)]
    pub across: bool,
    /// The latest measured round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Bytes of answers and files received from it.
    pub received_bytes: u64,
    /// Bytes of answers and files sent to it.
    pub sent_bytes: u64,
    /// The last thing that went wrong with it, as a lowercase fragment.
    pub last_error: Option<String>,
    /// When it will be spoken to again after a lie, RFC 3339 in UTC by this host's clock.
    pub banned_until: Option<String>,
    /// The lies it was caught in.
    pub evidence: Vec<Evidence>,
    /// For how long it has been up, in seconds, by its own word; nothing while it cannot be asked.
    #[serde(default)]
    pub up_seconds: Option<u64>,
    /// Since it had this host wait in vain: nothing is asked of it as an owner, see [`crate::lease`].
    #[serde(default)]
    pub passed_over: Option<PassedOver>,
    /// Whether this host's user distrusts it; `banned_until` says nothing of use then.
    #[serde(default)]
    pub distrusted: bool,
}

/// That a neighbour is not asked as an owner for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Until when, RFC 3339 in UTC by this host's clock.
    pub until: String,
    /// What it did, as a lowercase fragment.
    pub reason: String,
}

/// How a neighbour was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundBy {
    /// It was heard by multicast.
    Mdns,
    /// A `--peer` address led to it.
    Static,
    /// It called.
    Inbound,
    /// It was a neighbour in an earlier run.
    Remembered,
    /// A neighbour told of it.
    Neighbour,
}

impl FoundBy {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Static => "static",
            Self::Inbound => "inbound",
            Self::Remembered => "remembered",
            Self::Neighbour => "neighbour",
        }
    }
}

/// One lie that was caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When, RFC 3339 in UTC by this host's clock.
    pub at: String,
    /// What was untrue.
    pub what: String,
    /// The file that keeps the bytes; nothing when it could not be written or was dropped for newer evidence.
    pub file: Option<String>,
}

/// A time as RFC 3339 in UTC, whole seconds: `2006-01-02T15:04:05Z`.
pub fn rfc3339(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil_date(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // Counted in years that begin on the first of March, the leap day is the last day of a year.
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0 / 146_097;
    let day_of_era = since_march_of_year_0 % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_136_214_245), "2006-01-02T15:04:05Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_newer_daemon_is_understood() {
        let json = r#"{"url":"https://example.com","state":"ok","latency_ms":3}"#;
        let status: UpstreamStatus = serde_json_from(json);
        assert_eq!(status.state, "ok");
    }

    fn serde_json_from<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap()
    }
}
