//! What the daemon shows of itself. What names no module is read-only and goes over the front door's HTTP; what does, and
//! what changes state, goes over a socket in the state folder, for the daemon's own user alone: the [`back_door`].

mod back_door;
mod distrust;
mod explain;
mod go_sum;
mod question;
mod sumdb;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use modmesh_protocol::control::{
    DatabaseStatus, GoSumStatus, Limits, NOTICE_OF_A_PROBLEM, NOTICE_OF_SECURITY, PeerCounts,
    PeerStatus, Status, StoreStatus, Traffic, UpstreamStatus,
};
use modmesh_protocol::peer_name::PeerName;

use crate::fetch::Fetcher;
use crate::log::{Database, Mirror, Mirrors};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::proxy::Showing;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::upstream::{RoadState, Upstream};

pub(crate) use back_door::BackDoor;

/// A store that may take less than this is of little use: the largest zip that `go` takes has five times as much.
const STORE_BYTES_LOW: u64 = 100 << 20;

/// Handles of the rooms that are shown.
#[derive(Debug)]
pub(crate) struct Control {
    pub began: Instant,
    pub listen: Vec<SocketAddr>,
    pub state_dir: PathBuf,
    pub offline: bool,
    /// Whether the private patterns match every module.
    pub all_is_private: bool,
    pub upstream: Option<Upstream>,
    pub mirrors: Mirrors,
    pub store: Store,
    pub peers: Peers,
    pub metrics: Metrics,
    pub fetcher: Fetcher,
    pub shutdown: Shutdown,
}

impl Control {
    fn upstreams(&self) -> Vec<UpstreamStatus> {
        let entries = self.upstream.as_ref().map(Upstream::entries);
        entries
            .unwrap_or_default()
            .into_iter()
            .map(|entry| {
                let state = entry.state.as_str().to_owned();
                let mut status = UpstreamStatus {
                    url: entry.url,
                    state,
                    reason: None,
                    down_seconds: None,
                    rest_seconds: None,
                    rest_heard_from: None,
                };
                match entry.state {
                    RoadState::Down { since, reason } => {
                        status.reason = Some(reason);
                        status.down_seconds = seconds_since(since);
                    }
                    RoadState::Resting {
                        left,
                        reason,
                        heard_from,
                    } => {
                        status.reason = Some(reason);
                        status.rest_heard_from = heard_from;
                        status.rest_seconds = Some(left.as_secs());
                    }
                    RoadState::Untried | RoadState::Up => {}
                }
                status
            })
            .collect()
    }

    fn limits(&self) -> Limits {
        let mut limits = self.peers.limits();
        if let Some((rate, caps)) = self.upstream.as_ref().map(Upstream::limits) {
            limits.rates.push(rate);
            limits.caps.extend(caps);
        }
        limits
    }

    /// Lines for a person, each with its remedy.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut notices = self.contradictions();
        notices.extend(self.refused_lines());
        notices.extend(self.contradicted_words());
        notices.extend(self.given_up_and_shown());
        let trouble = self.store.trouble();
        notices.extend(trouble.map(|trouble| format!("{NOTICE_OF_A_PROBLEM}: {trouble}")));
        let trouble = self.peers.secret_trouble();
        notices.extend(trouble.map(|trouble| format!("{NOTICE_OF_A_PROBLEM}: {trouble}")));
        notices.extend(self.who_else_is_this_host());
        notices.extend(self.why_nothing_is_shared());
        notices.extend(self.why_nothing_large_is_sent());
        notices.extend(self.why_nothing_crosses());
        notices.extend(self.why_little_is_kept());
        notices
    }

    /// Databases that showed two logs. Nothing but a person can judge which is the true one.
    fn contradictions(&self) -> Vec<String> {
        let tell = |mirror: &Mirror| {
            let folder = mirror.contradictions()?;
            let name = mirror.name();
            Some(format!(
                "{NOTICE_OF_SECURITY}: the checksum database {name} has signed two tree heads that contradict each other, so somebody is shown another log than others; the heads are in {}: show them to those who run the database; `modmesh sumdb show {name}` tells more, and the way out when the log was rebuilt",
                folder.display()
            ))
        };
        let mirrors = self.mirrors.all().iter().map(Database::mirror);
        mirrors.filter_map(|mirror| tell(&mirror)).collect()
    }

    /// Who is still at a log that this host does not follow any more.
    fn given_up_and_shown(&self) -> Vec<String> {
        let tell = |mirror: Mirror| {
            let who = mirror.showing_given_up();
            let name = mirror.name();
            (!who.is_empty()).then(|| {
                format!(
                    "the log of {name} that was given up here is still shown by {}; nothing of it is believed here; each host of the network has to take the step: `modmesh sumdb accept {name}` there, and where go holds it `rm -rf \"$(go env GOPATH)/pkg/sumdb/{name}\" \"$(go env GOMODCACHE)/cache/download/sumdb/{name}\"`",
                    who.join(", ")
                )
            })
        };
        let mirrors = self.mirrors.all().iter().map(Database::mirror);
        mirrors.filter_map(tell).collect()
    }

    /// Lines of go.sum that the database contradicts. No module is named where others may look.
    fn refused_lines(&self) -> Option<String> {
        refused_lines(self.fetcher.go_sums().refused)
    }

    /// A disk that was copied to another machine, its identity included.
    fn who_else_is_this_host(&self) -> Option<String> {
        let at = self.peers.twin()?;
        Some(format!(
            "{NOTICE_OF_A_PROBLEM}: another machine, at {at}, has the identity of this host, so neighbours take the two for one; stop modmesh on one of them, remove the file `identity` in its state folder, and start it again"
        ))
    }

    /// Members who gave another file under a version than the one seen first. No module is named where others may look.
    fn contradicted_words(&self) -> Vec<String> {
        let tell = |(peer, times): (PeerName, u64)| {
            format!(
                "{NOTICE_OF_SECURITY}: {times} times another file was given under a version that was seen here before, on the word of {peer} now or then; the log names the versions: find out which file is the true one; `modmesh distrust {peer}` takes back all that rests on its word"
            )
        };
        self.fetcher.contradicted().into_iter().map(tell).collect()
    }

    fn why_nothing_is_shared(&self) -> Option<String> {
        if self.peers.is_closed() {
            // What nothing proves is shared on the word of members, and what could not be judged yet is told of below.
            return self.why_the_database_is_silent();
        }
        if self.mirrors.judge().is_none() {
            return Some(
                "the checksum database is off, so nothing but toolchains can be proved and shared with neighbours; set GOSUMDB (or --sumdb sum.golang.org) to share, or make the hosts members of one mesh (modmesh secret new), which share on each other's word"
                    .to_owned(),
            );
        }
        if self.all_is_private {
            return Some(
                "the private patterns match every module, so nothing but toolchains can be proved and shared with neighbours; name private modules alone in GONOSUMDB, GOPRIVATE or --private to share the others, or make the hosts members of one mesh (modmesh secret new)"
                    .to_owned(),
            );
        }
        self.why_the_database_is_silent()
    }

    fn why_the_database_is_silent(&self) -> Option<String> {
        let judge = self.mirrors.judge().map(Database::mirror)?;
        let remedy = match self.upstream {
            Some(_) => "let this host reach it, itself or through its upstream's /sumdb/",
            None => {
                "only neighbours are asked here, so find one that has the records, or start this host without --offline and with an --upstream"
            }
        };
        let name = judge.name();
        let remedy = match judge.contradictions() {
            // To reach it is not what helps then.
            Some(_) => format!("`modmesh sumdb show {name}` tells what to do"),
            None => remedy.to_owned(),
        };
        let cannot = |reason| {
            format!(
                "the checksum database {name} could not be asked ({reason}), so what is new here is not shared with neighbours; {remedy}"
            )
        };
        judge.trouble().map(cannot)
    }

    fn why_nothing_large_is_sent(&self) -> Option<String> {
        let pause = self.peers.paused()?;
        Some(format!(
            "{}, so no file above 64 KiB is sent to neighbours; {}",
            pause.why(),
            pause.remedy()
        ))
    }

    fn why_nothing_crosses(&self) -> Option<String> {
        let site = self.peers.site();
        let (budget, left) = (site.budget_bytes?, site.budget_left_bytes?);
        (left == 0 && budget > 0).then(|| {
            format!(
                "the {budget} bytes that may go between sites in 24 hours are used up, so nothing is asked of other sites and nothing is given there; what was used is free again a day later; give more with --site-budget"
            )
        })
    }

    fn why_little_is_kept(&self) -> Option<String> {
        let limit_bytes = self.store.limit_bytes();
        (limit_bytes < STORE_BYTES_LOW).then(|| {
            format!(
                "the store may take {limit_bytes} bytes, which is less than some modules have, so little is kept and shared; give more than {} MiB with --store-limit (a zip may have 500)",
                STORE_BYTES_LOW >> 20
            )
        })
    }

    fn databases(&self) -> Vec<DatabaseStatus> {
        self.mirrors
            .configured()
            .iter()
            .map(Database::mirror)
            .map(|mirror| DatabaseStatus {
                name: mirror.name().to_owned(),
                tree_size: mirror.tree_size(),
                records: mirror.records(),
                head_age_seconds: mirror.head_written().and_then(seconds_since),
                missing_tiles: mirror.missing_tiles() as u64,
            })
            .collect()
    }
}

fn refused_lines(refused: u64) -> Option<String> {
    let what = match refused {
        0 => return None,
        1 => "1 line of go.sum files that were given to this host contradicts the checksum database and is refused; the log names it (and `modmesh run` does): find out who changed it".to_owned(),
        several => format!("{several} lines of go.sum files that were given to this host contradict the checksum database and are refused; the log names them (and `modmesh run` does): find out who changed them"),
    };
    Some(format!(
        "{NOTICE_OF_SECURITY}: {what}, mend the file, and give it again"
    ))
}

/// Whole seconds since `time`; nothing when the clock was put back since.
fn seconds_since(time: SystemTime) -> Option<u64> {
    time.elapsed().ok().map(|elapsed| elapsed.as_secs())
}

impl Showing for Control {
    fn status(&self) -> Status {
        let totals = self.store.totals();
        let [from_store_bytes, from_peers_bytes, from_upstream_bytes] = self.metrics.served_bytes();
        let go_sums = self.fetcher.go_sums();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            peer_id: self.peers.name(),
            peer_addrs: self.peers.addresses(),
            listen: self
                .listen
                .first()
                .map(SocketAddr::to_string)
                .unwrap_or_default(),
            listen_addrs: self.listen.iter().map(SocketAddr::to_string).collect(),
            state_dir: self.state_dir.display().to_string(),
            uptime_seconds: self.began.elapsed().as_secs(),
            offline: self.offline,
            upstream: self.upstreams(),
            sumdb: self.databases(),
            go_sum: GoSumStatus {
                files: go_sums.files,
                lines: go_sums.lines,
                refused: go_sums.refused,
            },
            store: StoreStatus {
                bytes: totals.bytes,
                limit_bytes: self.store.limit_bytes(),
                blobs: totals.blobs,
                module_versions: totals.module_versions,
            },
            traffic: Traffic {
                from_store_bytes,
                from_peers_bytes,
                from_upstream_bytes,
                to_peers_bytes: self.metrics.peer_sent_bytes(),
            },
            peers: PeerCounts {
                connected: self.peers.connected() as u64,
                members: self.peers.members() as u64,
                beyond: self.peers.beyond() as u64,
            },
            leases: self.peers.leases(),
            membership: self.peers.membership(),
            site: self.peers.site(),
            limits: self.limits(),
            unreached_peers: self.peers.unreached(),
            peer_port_in_use: self.peers.port_in_use(),
            notices: self.notices(),
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.peers.snapshot()
    }

    fn metrics(&self) -> String {
        let totals = self.store.totals();
        self.metrics
            .store(totals.bytes, totals.blobs, self.store.losses());
        self.metrics.peers(self.peers.connected());
        self.metrics.leases(&self.peers.leases());
        self.metrics.members(self.peers.members());
        let site = self.peers.site();
        self.metrics.budget_left(site.budget_left_bytes);
        for database in self.mirrors.all() {
            let size = database.mirror().tree_size();
            self.metrics.tree_size(database.name(), size);
        }
        self.metrics.text()
    }
}

#[cfg(test)]
mod tests {
    use super::refused_lines;

    #[test]
    fn one_refused_line_is_told_as_one() {
        assert_eq!(refused_lines(0), None);
        let told = |refused| refused_lines(refused).unwrap_or_default();
        assert!(
            told(1).starts_with("SECURITY: 1 line of go.sum files"),
            "{}",
            told(1)
        );
        assert!(
            told(2).starts_with("SECURITY: 2 lines of go.sum files"),
            "{}",
            told(2)
        );
    }
}
