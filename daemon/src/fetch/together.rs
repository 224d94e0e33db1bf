//! One download per site: before anybody outside is asked for a file that others can have too, its owners are asked who fetches it.
//!
//! The owners' word is advice, see [`modmesh_protocol::lease`]: it decides when the upstream is asked, and nothing about what
//! is true. Who is told to fetch says how far it is and how it ended; who is told to wait waits within bounds and is sent to
//! one that has it, whose file passes the gate like any other. What turns out to be for this host alone others are told not to
//! wait for.

use std::time::Instant;

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::control::Did;
use modmesh_protocol::lease::Fetched;
use modmesh_protocol::peer_name::PeerName;

use super::neighbours::HOLDERS_MAX;
use super::outside::NotGiven;
use super::search::Search;
use super::sources::{Holder, Want};
use super::{FetchError, Fetcher, Landed};
use crate::peers::{About, Haste, Talk, Turn};
use crate::policy::Treatment;
use crate::store::Stored;
use crate::trust::Expected;
use crate::upstream::UpstreamError;

impl Fetcher {
    /// Asks upstream from where the search stands, or other sites, unless somebody of this site fetches it already, or has it by then.
    pub(super) async fn ask_outside(
        &self,
        want: &Want,
        treatment: Treatment,
        mut search: Search,
    ) -> Result<Landed, NotGiven> {
        let mut talk = match search.expected {
            // Where the bytes could not be held against anything nobody gives them on, but a member to members.
            Some(Expected::Pending(_)) => None,
            Some(Expected::Unlisted(_)) if !self.inner.peers.is_closed() => None,
            _ => self.talk(want),
        };
        let asked = match &mut talk {
            Some(talk) => self.ask_as_told(talk, want, treatment, &mut search).await?,
            None => None,
        };
        let asked = match asked {
            Some(told) => told,
            None => self.ask_out(want, treatment, search).await,
        };
        if let Some(talk) = talk {
            self.tell_members_no(want, &asked);
            talk.end(self.ending(&asked)).await;
        }
        asked
    }

    /// Does as the owners say, until that is to go outside: then there is nothing yet.
    async fn ask_as_told(
        &self,
        talk: &mut Talk,
        want: &Want,
        treatment: Treatment,
        search: &mut Search,
    ) -> Result<Option<Result<Landed, NotGiven>>, NotGiven> {
        let haste = Haste::OthersWait;
        loop {
            let began = Instant::now();
            let told_to_wait = |fetches| want.story.tell(began, Did::ToldToWait { fetches });
            let turn = talk.next_with(told_to_wait).await;
            want.story.tell_turn(began, &turn, talk.waited_for());
            let mut holders = match turn {
                Turn::Take(holders) => holders,
                Turn::Nobody => return Ok(None),
                Turn::Fetch => {
                    if let Some(no) = self.no_of_one_waited_for(talk, want).await {
                        let (error, failed) = (no, search.failed.take());
                        return Ok(Some(Err(NotGiven { error, failed })));
                    }
                    let located = self.overlooked(want, &search.useless).await;
                    let taken = self.take_from(want, treatment, haste, located, search);
                    return Ok(taken.await?.map(Ok));
                }
            };
            holders.retain(|holder| !search.useless.contains(holder));
            let located = self.located(want, &holders).await;
            let taken = self.take_from(want, treatment, haste, located, search);
            let mut landed = taken.await?;
            if landed.is_none() {
                // What nothing proves a member gives on its word.
                let expected = &mut search.expected;
                let stated = self.ask_members(want, treatment, haste, expected, &holders);
                landed = stated.await?;
            }
            talk.taken(landed.is_some()).await;
            if let Some(landed) = landed {
                return Ok(Some(Ok(landed)));
            }
        }
    }

    /// Whether the owners may be asked who fetches such a file: where it may be asked of neighbours at all, as any may of members.
    pub(crate) fn may_ask_owners(&self, key: &ArtifactKey) -> bool {
        self.may_ask_neighbours(key) || self.inner.peers.is_closed()
    }

    /// A conversation with the owners of the file, where they may be asked, and there are some.
    fn talk(&self, want: &Want) -> Option<Talk> {
        if !self.may_ask_owners(&want.key) {
            return None;
        }
        let about = About {
            key: KeyHash::of_file(&want.key),
            place: KeyHash::of_place(&want.key.of.module),
            bytes_max: want.bytes_max,
            // Who gives nothing large to others need not fetch for them.
            can_fetch: (self.haste(want.asker) == Haste::OthersWait || self.may_cross(want))
                && !self.inner.peers.are_uploads_paused(),
            so_far: want.so_far.clone(),
        };
        let fetcher = self.clone();
        let road = move || fetcher.inner.upstream_pace.road();
        self.inner.peers.talk(about, road)
    }

    /// Of many neighbours some were asked whether they have it, and owners know what they heard of since they came. Whoever is to fetch
    /// it for all asks all the others, once for the whole site.
    async fn overlooked(&self, want: &Want, useless: &[PeerName]) -> Vec<Holder> {
        if !self.may_ask_neighbours(&want.key) {
            return Vec::new();
        }
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let Some(survey) = self.inner.peers.survey_everybody(hash).await else {
            return Vec::new();
        };
        want.story.tell_survey(began, &survey);
        let found = survey.found.into_iter().filter_map(Holder::of);
        let mut found: Vec<_> = found
            .filter(|holder| !useless.contains(&holder.peer))
            .collect();
        found.truncate(HOLDERS_MAX);
        found
    }

    /// Those of `holders` that do have the file.
    async fn located(&self, want: &Want, holders: &[PeerName]) -> Vec<Holder> {
        if holders.is_empty() || !self.may_ask_neighbours(&want.key) {
            return Vec::new();
        }
        let peers = &self.inner.peers;
        // An owner may name one that is silent for every file.
        let may_ask_upstream = self.haste(want.asker) == Haste::OthersWait;
        let named = holders
            .iter()
            .filter(|holder| !may_ask_upstream || !peers.is_slow(holder));
        let named: Vec<PeerName> = named.cloned().collect();
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let survey = peers.locate_among(&named, Some(hash), None);
        let survey = survey.await;
        want.story.tell_survey(began, &survey);
        let mut found: Vec<_> = survey.found.into_iter().filter_map(Holder::of).collect();
        // The owner has put in front whom the fewest are sent to.
        found.sort_by_key(|holder| holders.iter().position(|named| *named == holder.peer));
        found
    }

    /// What the owners are told of how it ended.
    fn ending(&self, asked: &Result<Landed, NotGiven>) -> Fetched {
        match asked.as_ref().map_err(|not_given| &not_given.error) {
            Ok(landed) if self.gives_on(&landed.stored) => Fetched::Here,
            Ok(_) => Fetched::ForItself,
            Err(FetchError::Upstream(error)) => match &**error {
                UpstreamError::Refused(answer) | UpstreamError::NotFound(answer) => {
                    Fetched::Failed {
                        status: answer.status,
                    }
                }
                _ => Fetched::Failed { status: 502 },
            },
            Err(FetchError::SaidToMember(no)) => Fetched::Failed { status: no.status },
            Err(_) => Fetched::Failed { status: 502 },
        }
    }

    /// Whether those who wait for the file can have it from this host: by its proof, or as members on this host's word.
    fn gives_on(&self, stored: &Stored) -> bool {
        let proof = &stored.entry.proof;
        let for_members = || {
            let hash = KeyHash::of_file(proof.key());
            self.inner.peers.is_closed() && self.inner.store.for_members(hash).is_some()
        };
        proof.is_shareable() || for_members()
    }
}
