//! Outside: where a file is got that nobody of this site has, from the own upstream or from another site.
//!
//! Who comes here holds the lease of its site, or there was nobody to share with; the others wait for it. Which of the two is asked first
//! is decided by what was seen of them, see [`modmesh_protocol::site::way_out`]; the other one is asked where that fails. What
//! another site gives passes the gate like any neighbour's.

use std::time::Instant;

use modmesh_protocol::artifact::{FileKind, KeyHash};
use modmesh_protocol::control::Did;
use modmesh_protocol::site::{
    Crossing, Decision, First, SMALL_BYTES, Upstream, Why, is_worth_it, way_out,
};

use super::neighbours::HOLDERS_MAX;
use super::search::Search;
use super::sources::{Holder, Miss, Want};
use super::{BUSY_PATIENCE, FetchError, Fetcher, Landed};
use crate::peers::{Haste, PeerError};
use crate::policy::{Asker, Treatment};
use crate::trust::Expected;

/// What a zip is taken to have of which nothing is known, in bytes: more than most modules.
const ZIP_ASSUMED_BYTES: u64 = 4 * SMALL_BYTES;

/// Why nobody outside gave it.
pub(super) struct NotGiven {
    pub error: FetchError,
    /// What went wrong with the last neighbour that has it.
    pub failed: Option<Miss>,
}

impl From<FetchError> for NotGiven {
    fn from(error: FetchError) -> Self {
        let failed = None;
        Self { error, failed }
    }
}

impl Fetcher {
    /// The file from outside of this site.
    pub(super) async fn ask_out(
        &self,
        want: &Want,
        treatment: Treatment,
        mut search: Search,
    ) -> Result<Landed, NotGiven> {
        let way = self.way_out(want, &search);
        if way.why != Why::NobodyAcross {
            self.tell_way(want, way.first == First::Across, way.why.as_str());
        }
        if way.first == First::Across {
            let across = self.take_across(want, treatment, &mut search);
            if let Some(landed) = across.await? {
                return Ok(landed);
            }
        }
        let (expected, list) = (search.expected.clone(), std::mem::take(&mut search.list));
        let asked = self.ask_upstream(want, treatment, expected, list).await;
        let error = match asked {
            Ok(landed) => return Ok(landed),
            Err(error) => error,
        };
        let may_help = match &error {
            FetchError::Upstream(_) | FetchError::Untrue(_) | FetchError::Nonsense { .. } => true,
            error => error.is_absence(),
        };
        // By now it may be known that it is of no use to ask, or nobody came since.
        if way.first == First::Across || !may_help || !self.way_out(want, &search).may_cross {
            if way.why == Why::UsedUp {
                search.failed = Some(Miss::Peer(PeerError::OverBudget));
            }
            let failed = search.failed;
            return Err(NotGiven { error, failed });
        }
        self.tell_way(want, true, "the upstream did not give it");
        let across = self.take_across(want, treatment, &mut search);
        let landed = across.await?;
        landed.ok_or(NotGiven {
            error,
            failed: search.failed,
        })
    }

    /// Whether a file could be had of another site now, where the upstream is of no use.
    pub(super) fn may_cross(&self, want: &Want) -> bool {
        self.may_ask_neighbours(&want.key) && self.inner.peers.may_cross()
    }

    fn way_out(&self, want: &Want, search: &Search) -> Decision {
        let key = KeyHash::of_file(&want.key);
        // Without a hash to hold them against, anybody's bytes are worth nothing.
        let is_unlisted = matches!(search.expected, Some(Expected::Unlisted(_)));
        let crossing = match self.may_ask_neighbours(&want.key) && !is_unlisted {
            true => self.inner.peers.crossing(Some(&key)),
            false => Crossing::Nobody,
        };
        let bytes = match want.key.kind {
            FileKind::Zip => ZIP_ASSUMED_BYTES,
            FileKind::Mod | FileKind::Info => 0,
        };
        way_out(self.upstream_now(want.asker), crossing, bytes)
    }

    fn upstream_now(&self, asker: Asker) -> Upstream {
        match self.upstream_for(asker) {
            None => Upstream::Off,
            Some(upstream) if upstream.is_down() => Upstream::Down,
            Some(_) => Upstream::Up(self.inner.upstream_pace.road()),
        }
    }

    fn tell_way(&self, want: &Want, across: bool, why: &str) {
        let why = why.to_owned();
        want.story.tell(Instant::now(), Did::Way { across, why });
    }

    /// The file from a neighbour of another site; nothing where none gives it. Where there is no upstream, one that is busy is asked
    /// again for a while.
    async fn take_across(
        &self,
        want: &Want,
        treatment: Treatment,
        search: &mut Search,
    ) -> Result<Option<Landed>, FetchError> {
        let give_up = Instant::now() + BUSY_PATIENCE;
        loop {
            let haste = self.haste(want.asker);
            let holders = self.holders_across(want, haste, search).await;
            if holders.is_empty() {
                return Ok(None);
            }
            let taken = self.take_from(want, treatment, haste, holders, search);
            if let Some(landed) = taken.await? {
                return Ok(Some(landed));
            }
            match search.retry_after {
                Some(pause) if haste == Haste::NobodyElse && Instant::now() + pause < give_up => {
                    want.pause(pause).await;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Neighbours of other sites that have it, and of which it is worth to be taken now that its length is known.
    async fn holders_across(&self, want: &Want, haste: Haste, search: &mut Search) -> Vec<Holder> {
        let peers = &self.inner.peers;
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let survey = peers.survey_across(Some(hash), None, haste).await;
        want.story.tell_survey_across(began, &survey);
        let upstream = self.upstream_now(want.asker);
        let left = peers.site().budget_left_bytes.unwrap_or(u64::MAX);
        let mut holders: Vec<_> = survey.found.into_iter().filter_map(Holder::of).collect();
        holders.retain(|holder| {
            let road = peers.road_to(&holder.peer);
            let is_useless = search.useless.contains(&holder.peer);
            !is_useless && is_worth_it(upstream, &road, holder.length)
        });
        if holders
            .extract_if(.., |holder| holder.length > left)
            .count()
            > 0
        {
            search.failed = Some(Miss::Peer(PeerError::OverBudget));
        }
        holders.truncate(HOLDERS_MAX);
        holders
    }
}
