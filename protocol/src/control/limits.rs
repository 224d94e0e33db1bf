//! The limits that a host keeps to, with what they are worth at this moment.

use serde::{Deserialize, Serialize};

use crate::peer_name::PeerName;

/// Rates, caps, and whether files are sent at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Classes of traffic, each in one direction.
    #[serde(default)]
    pub rates: Vec<RateStatus>,
    /// What there is a bounded number of.
    #[serde(default)]
    pub caps: Vec<CapStatus>,
    /// Why no file above 64 KiB is sent to neighbours at the moment, as a fragment for a person.
    #[serde(default)]
    pub uploads_paused: Option<String>,
    /// The cap that the hosts of this site keep to together; nothing where none is set.
    #[serde(default)]
    pub line: Option<LineStatus>,
}

/// The line for the upstream, see [`crate::line`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    /// The cap that is set on this host.
    pub most: u64,
    /// The one that counts now: the smallest of those in the line, or this host's share of its own where nobody keeps it.
    pub effective: u64,
    /// Requests that this host has under way.
    pub used: u64,
    /// Requests of this host that wait for a place.
    pub waiting: u64,
    /// The neighbour that keeps the line, as it was when a place was needed last.
    pub kept_by: Option<PeerName>,
    /// Whether this host keeps it.
    pub kept_here: bool,
    /// Whether nobody answered, so that this host goes by its share.
    pub by_share: bool,
    /// What this host has promised as the one that keeps the line, its own included.
    pub promised: u64,
    /// How many hosts have asked it just now, itself included.
    pub hosts: u64,
}

/// One class of traffic in one direction. Readers skip classes that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStatus {
    /// `link`: between this host and its neighbours; `site`: between it and those of other sites, which are in `link` as well; `upstream`: between it and module proxies.
    pub class: String,
    /// `up`: from this host; `down`: to it.
    pub direction: String,
    /// The limit that holds now; nothing where there is none.
    pub limit_bytes_per_second: Option<u64>,
    /// The day and time from which another one holds, by the clock of this host, such as `fri 18:00`; nothing where it is always the same.
    #[serde(default)]
    pub until: Option<String>,
    /// What went through in the last four seconds, in bytes a second.
    pub bytes_per_second: u64,
    /// For how many milliseconds since the start the limit has held transfers up.
    #[serde(default)]
    pub held_ms: u64,
}

/// Something of which there is a bounded number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapStatus {
    /// `neighbours` that are connected, `errands` (hosts that are connected for one question), `streams` and `uploads` that are served to
    /// them, `downloads` from them, `site_uploads` and `site_downloads` among these, to and from other sites, `upstream` requests,
    /// `upstream_zips` among them. Downloads and what goes between sites have a number only while a limit holds for them, which they
    /// share. Readers skip what they do not know.
    pub what: String,
    /// How many there are now.
    pub used: u64,
    /// How many there can be: the effective number, which may be lower than the built-in one where a rate is small.
    pub most: u64,
}

impl CapStatus {
    /// `used` of `most`.
    pub fn new(what: &str, used: usize, most: usize) -> Self {
        Self {
            what: what.to_owned(),
            used: used as u64,
            most: most as u64,
        }
    }
}
