//! Asking the neighbours: who has a file, having it sent, and what to make of what they gave.
//!
//! A neighbour's word costs little: it must keep a pace at which the file would be here no later than from our own
//! upstream, or, where there is none, from another neighbour; who falls behind gets company, see [`super::race`]. Whoever
//! passes the gate first has won.

use std::time::{Duration, Instant};

use modmesh_protocol::artifact::KeyHash;
use tokio::time::timeout;

use super::again::Again;
use super::gate::NotKept;
use super::inline::Supply;
use super::race::{Beside, Finish, Race};
use super::search::Search;
use super::sources::{self, Holder, Miss, Want};
use super::{FetchError, Fetcher, Landed};
use crate::metrics::Source;
use crate::peers::{Haste, PeerError, Survey};
use crate::policy::{Asker, Treatment};
use crate::store::{Staged, Stored};
use crate::trust::{Expected, Giver};
use crate::upstream::{Begin, Downloaded, Upstream};

/// How many neighbours are tried for one file before the upstream is.
pub(super) const HOLDERS_MAX: usize = 4;
/// How often the record of a file that is here is asked for again, where nobody but the neighbours can be asked. Each time
/// may take the two seconds for which a neighbour may be silent, so that this comes to 15 s on a line that is full.
const PROOF_ASKED_AGAIN_MAX: u32 = 5;
/// How long that takes in all, however many neighbours are silent about it.
const PROOF_ASKED_FOR: Duration = Duration::from_secs(15);
/// How much longer each pause between those is than the one before: where the answer is a quick no, it is 3 s in all.
const PROOF_PAUSE: Duration = Duration::from_millis(300);

impl Fetcher {
    /// How long the neighbours may think: as long as they may be silent, when no upstream answers.
    pub(super) fn haste(&self, asker: Asker) -> Haste {
        let upstream = self.upstream_for(asker);
        if upstream.as_ref().is_none_or(Upstream::is_down) {
            Haste::NobodyElse
        } else {
            Haste::OthersWait
        }
    }

    /// Neighbours that say they have the file.
    async fn holders(&self, want: &Want, haste: Haste) -> Vec<Holder> {
        self.holders_told(want, haste, |_| true).await
    }

    /// As [`Fetcher::holders`]; the story is told of what `is_told` of it.
    pub(super) async fn holders_told(
        &self,
        want: &Want,
        haste: Haste,
        is_told: impl FnOnce(&Survey) -> bool,
    ) -> Vec<Holder> {
        if !self.may_ask_neighbours(&want.key) || self.inner.peers.connected() == 0 {
            return Vec::new();
        }
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let survey = self.inner.peers.survey(Some(hash), None, haste).await;
        if is_told(&survey) {
            want.story.tell_survey(began, &survey);
        }
        let mut holders: Vec<_> = survey.found.into_iter().filter_map(Holder::of).collect();
        holders.truncate(HOLDERS_MAX);
        holders
    }

    /// Has the file sent by the neighbours that have it, and by the upstream where they are slow; from which of the two it came. Nothing
    /// where none gave it. An error is one that no other source can mend.
    pub(super) async fn ask_neighbours(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
        search: &mut Search,
    ) -> Result<Option<Landed>, FetchError> {
        let supply = self.look_around(want, treatment, haste).await;
        let came_at_once = supply.small.is_some();
        let beside = Beside::NotAsked;
        let taken = self.take(want, treatment, haste, supply, beside, search);
        let taken = taken.await?;
        if taken.is_some() || !came_at_once || is_in_vain(&search.expected) {
            return Ok(taken);
        }
        // The others were not given the time to answer.
        let mut holders = self.holders(want, haste).await;
        holders.retain(|holder| !search.useless.contains(&holder.peer));
        self.take_from(want, treatment, haste, holders, search)
            .await
    }

    /// As [`Fetcher::ask_neighbours`], from those who say they have it.
    pub(super) async fn take_from(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
        holders: Vec<Holder>,
        search: &mut Search,
    ) -> Result<Option<Landed>, FetchError> {
        let (supply, beside) = (Supply::of(holders), Beside::NotAsked);
        self.take(want, treatment, haste, supply, beside, search)
            .await
    }

    /// As [`Fetcher::take_from`], by a caller that asks the upstream itself.
    pub(super) async fn take_beside(
        &self,
        want: &Want,
        treatment: Treatment,
        holders: Vec<Holder>,
        search: &mut Search,
    ) -> Result<Option<Landed>, FetchError> {
        let (supply, beside) = (Supply::of(holders), Beside::AskedElsewhere);
        self.take(want, treatment, Haste::OthersWait, supply, beside, search)
            .await
    }

    async fn take(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
        supply: Supply,
        upstream: Beside,
        search: &mut Search,
    ) -> Result<Option<Landed>, FetchError> {
        search.retry_after = None;
        if supply.is_empty() {
            return Ok(None);
        }
        let mut race = Race::new(self, want, haste, supply.holders, upstream);
        let mut again = Again::new();
        if let Some(small) = supply.small {
            race.came(small)?;
        }
        // The proof and the bytes travel at the same time; nothing is used before both are here.
        let mut proof = Box::pin(self.expected_by(want, treatment, supply.offer));
        loop {
            let finish = tokio::select! {
                known = &mut proof, if search.expected.is_none() => {
                    let is_unlisted = matches!(known, Expected::Unlisted(_));
                    search.expected = Some(known);
                    if is_unlisted {
                        // Without a hash to hold them against a neighbour's bytes are worth nothing.
                        break;
                    }
                    continue;
                }
                finish = race.next() => finish?,
                holders = again.holders(self, want), if race.waits_for_upstream_alone() => {
                    race.join(holders);
                    continue;
                }
            };
            let (giver, staged) = match finish {
                Some(Finish::Peer(holder, Ok(staged))) => (Ok(holder), staged),
                Some(Finish::Upstream(Ok((staged, from)))) => (Err(from), staged),
                Some(Finish::Peer(holder, Err(miss))) => {
                    tracing::debug!(key = %want.key, peer = %holder.peer, %miss, "a neighbour did not give a file");
                    match miss {
                        Miss::Peer(PeerError::Busy { retry_after: pause }) => {
                            let least = search.retry_after.map_or(pause, |least| pause.min(least));
                            search.retry_after = Some(least);
                        }
                        Miss::Peer(PeerError::LanesFull) => {}
                        _ => search.useless.push(holder.peer),
                    }
                    search.failed = Some(miss);
                    continue;
                }
                Some(Finish::Upstream(Err(miss))) => {
                    tracing::debug!(key = %want.key, %miss, "upstream did not give a file either");
                    continue;
                }
                None => break,
            };
            let known = match search.expected.take() {
                Some(known) => known,
                None => proof.as_mut().await,
            };
            let known = search
                .expected
                .insert(self.expected_now(known, want, treatment).await);
            let holder = match giver {
                Ok(holder) => holder,
                Err(from) => match self.keep_from_upstream(staged, want, known).await {
                    Ok(stored) => {
                        return Ok(Some(Landed::new(stored, Source::Upstream)));
                    }
                    Err(error @ FetchError::Untrue(_)) => {
                        search.list.gave_false(&from, error);
                        break;
                    }
                    Err(error) => return Err(error),
                },
            };
            match known {
                Expected::Listed(_) | Expected::GoSum(_) => {}
                Expected::Unlisted(_) => break,
                Expected::Pending(reason) => {
                    search.failed = Some(Miss::Unproved(reason.clone()));
                    break;
                }
            }
            if let Some(stored) = self.keep_from(&holder, staged, want, known).await? {
                race.leave_all();
                return Ok(Some(Landed::new(stored, Source::Peer)));
            }
            search.useless.push(holder.peer);
        }
        Ok(None)
    }

    /// What a file must be that is here now. On a slow line the proof's answers wait behind files, longer than a neighbour may
    /// be silent. Now this one is out of the way; where nobody but the neighbours can be asked, others may be next, and
    /// the file is kept while the record is asked for some more.
    async fn expected_now(
        &self,
        mut known: Expected,
        want: &Want,
        treatment: Treatment,
    ) -> Expected {
        let times = match self.haste(want.asker) {
            Haste::OthersWait => 1,
            Haste::NobodyElse => PROOF_ASKED_AGAIN_MAX,
        };
        let asking = async {
            for time in 0..times {
                if !matches!(known, Expected::Pending(_)) {
                    break;
                }
                tokio::time::sleep(PROOF_PAUSE * time).await;
                known = self.expected_of(want, treatment).await;
            }
        };
        let _known_or_not = timeout(PROOF_ASKED_FOR, asking).await;
        known
    }

    /// What a neighbour gave, if it passed the gate. If it is a lie, the neighbour is blamed.
    async fn keep_from(
        &self,
        holder: &Holder,
        staged: Staged,
        want: &Want,
        expected: &Expected,
    ) -> Result<Option<Stored>, FetchError> {
        match self.keep(staged, want, expected, Giver::Neighbour).await {
            Ok(stored) => {
                self.inner.peers.proven(&holder.peer);
                Ok(Some(stored))
            }
            Err(NotKept {
                error: FetchError::Untrue(rejection),
                evidence,
            }) => {
                self.inner.metrics.verification_failure(Source::Peer);
                holder.blame(&self.inner.peers, &rejection, evidence);
                Ok(None)
            }
            Err(not_kept) => Err(not_kept.error),
        }
    }

    /// Downloads from upstream, and takes note of its pace.
    pub(super) async fn download(
        &self,
        begin: Begin,
        want: &Want,
        staging: crate::store::Staging,
    ) -> Result<(Staged, Downloaded), Miss> {
        let (began, upstream) = (Instant::now(), self.upstream_for(want.asker));
        let pace = &self.inner.upstream_pace;
        let (staged, from) =
            sources::from_upstream(upstream.as_ref(), begin, want, staging, pace).await?;
        self.inner
            .upstream_pace
            .measured(staged.measured().length, began.elapsed());
        Ok((staged, from))
    }
}

/// Whether nothing that a neighbour gives is of use: there is nothing to hold it against.
fn is_in_vain(expected: &Option<Expected>) -> bool {
    matches!(expected, Some(Expected::Unlisted(_) | Expected::Pending(_)))
}
