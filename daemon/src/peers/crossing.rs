//! Between this site and others: what goes there and comes from there, the limit and the budget for it, and what was seen of the way.
//!
//! What is asked across and what is sent across count in one budget, for a line that is paid by the byte carries both. A file is
//! taken from the budget before its first byte moves, so that no file ends in the middle for it; small messages are counted
//! when they have passed. Where the budget is used up nothing is asked across and nothing is given.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::SiteStatus;
use modmesh_protocol::directory::Directory;
use modmesh_protocol::lease::Road;
use modmesh_protocol::limits::{NEIGHBOURS_MAX, UPLOADS_MAX};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::rate::{Limit, Minute};
use modmesh_protocol::site::{self, Across, SMALL_BYTES, Site};

use super::ledger::Ledger;
use super::lock;
use super::roster::Roster;
use crate::lately::Longest;
use crate::manners::{Class, Direction, Throttle};

/// Files that come from other sites at the same time where a limit is shared; a smaller limit lets in fewer.
const CROSSING_DOWNLOADS_MAX: usize = 16;
/// Sites of which it is remembered what they gave: as many as there can be neighbours.
const SITES_MAX: usize = NEIGHBOURS_MAX;

/// What is set for what goes between sites.
#[derive(Debug, Clone, Default)]
pub struct CrossingLimits {
    /// The name of this host's site, where a person gave one.
    pub site: Option<Site>,
    /// The most that goes to other sites, and the most that comes from them.
    pub rate: Limit,
    /// Bytes to and from other sites in 24 hours; nothing for no limit.
    pub bytes_a_day: Option<u64>,
}

/// The way between this site and others.
#[derive(Debug)]
pub(super) struct Crossing {
    pub(super) home: Option<Site>,
    pub(super) up: Throttle,
    pub(super) down: Throttle,
    pub(super) budget: Option<Arc<Ledger>>,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    seen: Mutex<HashMap<OtherSite, Seen>>,
}

/// Another site: by its name, or the one neighbour of it that is known where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum OtherSite {
    Named(Site),
    Of(PeerName),
}

/// What was seen of the way to another site.
#[derive(Debug)]
struct Seen {
    pace: Option<f64>,
    first_bytes: Longest,
    at: Instant,
}

/// Bytes of the budget that one file has to itself; what did not pass when this is dropped is given back.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    crossing: &'a Crossing,
    left: u64,
}

impl Crossing {
    /// `file` keeps what passed of the budget, where there is one. Blocks shortly.
    pub(super) fn new(limits: CrossingLimits, minute: Minute, file: PathBuf) -> Self {
        let throttle = |direction, most| {
            Throttle::new(Class::Site, direction, limits.rate.clone(), minute, most)
        };
        Self {
            up: throttle(Direction::Up, UPLOADS_MAX),
            down: throttle(Direction::Down, CROSSING_DOWNLOADS_MAX),
            home: limits.site,
            budget: limits
                .bytes_a_day
                .map(|bytes| Arc::new(Ledger::open(bytes, file))),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Bytes came from another site.
    pub(super) fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went to another site.
    pub(super) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that passed and that nothing was reserved for.
    pub(super) fn charge(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.up.charge(bytes),
            Direction::Down => self.down.charge(bytes),
        }
        if let Some(budget) = &self.budget {
            budget.take(bytes);
        }
    }

    /// The budget for a file of so many bytes; nothing where so much is not left.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Reserved<'_>> {
        let is_there = match &self.budget {
            Some(budget) => budget.reserve(bytes),
            None => true,
        };
        // One that is made and dropped would give back what it never had.
        is_there.then(|| Reserved {
            crossing: self,
            left: bytes,
        })
    }

    /// Whether nothing may pass any more today.
    pub(super) fn is_used_up(&self) -> bool {
        self.left() == Some(0)
    }

    fn left(&self) -> Option<u64> {
        self.budget.as_ref().map(|budget| budget.left())
    }

    /// A file of so many bytes came from there: how long until its first byte, and how long in all.
    pub(super) fn saw(&self, site: OtherSite, bytes: u64, first_byte: Duration, took: Duration) {
        let mut seen = lock(&self.seen);
        if seen.len() >= SITES_MAX && !seen.contains_key(&site) {
            let longest_unseen = seen.iter().min_by_key(|(_, seen)| seen.at);
            if let Some(site) = longest_unseen.map(|(site, _)| site.clone()) {
                seen.remove(&site);
            }
        }
        let now = Instant::now();
        let seen = seen.entry(site).or_insert_with(|| Seen {
            pace: None,
            first_bytes: Longest::default(),
            at: now,
        });
        seen.at = now;
        seen.first_bytes.measured(first_byte);
        if bytes >= SMALL_BYTES {
            seen.pace = Some(bytes as f64 / took.as_secs_f64().max(0.001));
        }
    }

    /// What was seen of the way to a site, and how long ago.
    pub(super) fn road(&self, site: &OtherSite) -> (Road, Option<Duration>) {
        let seen = lock(&self.seen);
        let Some(seen) = seen.get(site) else {
            return (Road::default(), None);
        };
        let road = Road {
            pace: seen.pace,
            first_byte: seen.first_bytes.get(),
        };
        (road, Some(seen.at.elapsed()))
    }

    /// Whether other sites can be asked now, and what the best of them is worth; for the file of this key, where one is looked for.
    pub(super) fn look(
        &self,
        roster: &Roster,
        directory: &Mutex<Directory>,
        file: Option<&KeyHash>,
    ) -> site::Crossing {
        let across = roster.across();
        if across.is_empty() {
            return site::Crossing::Nobody;
        }
        if self.is_used_up() {
            return site::Crossing::UsedUp;
        }
        let holders = file.map_or_else(Vec::new, |key| lock(directory).holders(key));
        let sites = across.into_iter().map(|(name, site)| {
            let (road, idle) = self.road(&site);
            Across {
                road,
                is_announced: holders.contains(&name),
                idle,
            }
        });
        let pace = |across: &Across| across.road.pace.unwrap_or(0.0);
        let best = sites.max_by(|a, b| {
            let announced = a.is_announced.cmp(&b.is_announced);
            announced.then(pace(a).total_cmp(&pace(b)))
        });
        best.map_or(site::Crossing::Nobody, site::Crossing::Open)
    }

    /// For people to see.
    pub(super) fn status(&self, roster: &Roster) -> SiteStatus {
        SiteStatus {
            name: self.home.as_ref().map(Site::to_string),
            neighbours_across: roster.across().len() as u64,
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            budget_bytes: self.budget.as_ref().map(|budget| budget.bytes_a_day()),
            budget_left_bytes: self.left(),
        }
    }
}

impl Reserved<'_> {
    /// Bytes of the file passed.
    pub(super) fn passed(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let (Some(budget), true) = (&self.crossing.budget, self.left > 0) {
            budget.give_back(self.left);
        }
    }
}

impl OtherSite {
    /// Of `peer`, which is of another site.
    pub(super) fn of(peer: &PeerName, site: Option<&Site>) -> Self {
        match site {
            Some(site) => Self::Named(site.clone()),
            None => Self::Of(peer.clone()),
        }
    }
}

impl super::Shared {
    /// The budget for a file of so many bytes to or from `peer`, where that is of another site; an error where so much is not left.
    pub(super) fn reserve(&self, peer: &PeerId, bytes: u64) -> Result<Option<Reserved<'_>>, ()> {
        if !self.roster.is_across(peer) {
            return Ok(None);
        }
        self.crossing.reserve(bytes).map(Some).ok_or(())
    }

    /// Whether `peer` is of another site, and nothing may pass between sites any more today.
    pub(super) fn is_out_of_budget(&self, peer: &PeerId) -> bool {
        self.crossing.is_used_up() && self.roster.is_across(peer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn crossing(bytes_a_day: Option<u64>) -> Crossing {
        let limits = CrossingLimits {
            bytes_a_day,
            ..CrossingLimits::default()
        };
        Crossing::new(
            limits,
            Minute::default(),
            PathBuf::from("/nowhere/site-budget"),
        )
    }

    #[test]
    fn a_file_has_its_bytes_to_itself_and_gives_back_what_did_not_pass() {
        let crossing = crossing(Some(1000));
        let mut first = crossing.reserve(700).unwrap();
        assert!(crossing.reserve(301).is_none());
        crossing.charge(Direction::Down, 100);
        first.passed(500);
        drop(first);
        assert_eq!(crossing.left(), Some(400));
        let whole = crossing.reserve(400);
        assert!(crossing.is_used_up());
        drop(whole);
        assert!(!crossing.is_used_up());
        // What is not reserved is counted, however much it is.
        crossing.charge(Direction::Up, 5000);
        assert!(crossing.is_used_up());
    }

    #[test]
    fn without_a_budget_everything_passes() {
        let crossing = crossing(None);
        let _all = crossing.reserve(u64::MAX).unwrap();
        assert!(crossing.reserve(1).is_some() && !crossing.is_used_up());
        assert_eq!(crossing.left(), None);
    }

    #[test]
    fn what_was_seen_of_a_site_is_bounded_and_the_longest_unseen_is_forgotten() {
        let crossing = crossing(None);
        let site = |number: usize| OtherSite::Named(format!("s{number}").parse().unwrap());
        let second = Duration::from_secs(1);
        for number in 0..=SITES_MAX {
            crossing.saw(site(number), 2_000_000, second / 10, second);
        }
        assert_eq!(crossing.road(&site(0)).1, None);
        let (road, idle) = crossing.road(&site(SITES_MAX));
        assert_eq!(road.pace, Some(2_000_000.0));
        assert_eq!(road.first_byte, Some(second / 10));
        assert!(idle.is_some());
        // A small file tells how far it is, and nothing of the pace.
        crossing.saw(site(1), 1000, second * 2, second * 3);
        let (road, _) = crossing.road(&site(1));
        assert_eq!(road.pace, Some(2_000_000.0));
        assert_eq!(road.first_byte, Some(second * 2));
        assert_eq!(lock(&crossing.seen).len(), SITES_MAX);
    }
}
