//! One download per site: before anybody outside is asked for a file that others can have too, its owners are asked who fetches it.
//!
//! The owners' word is advice, see [`modmesh_protocol::lease`]: it decides when the upstream is asked, and nothing about what
//! is true. Who is told to fetch says how far it is and how it ended; who is told to wait waits within bounds and is sent to
//! one that has it, whose file passes the gate like any other. What turns out to be for this host alone others are told not to
//! wait for.

use std::time::Instant;

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::Did;
use modmesh_protocol::lease::Fetched;
use modmesh_protocol::peer_name::PeerName;

use super::neighbours::{Asked, HOLDERS_MAX};
use super::outside::{NotGiven, Search};
use super::sources::{Holder, Want};
use super::{FetchError, Fetcher, Landed, Listing};
use crate::peers::{About, Haste, Talk, Turn};
use crate::policy::Treatment;
use crate::store::Stored;
use crate::trust::Expected;
use crate::upstream::UpstreamError;

impl Fetcher {
    /// Asks upstream from where `list` stands, or other sites, unless somebody of this site fetches it already, or has it by then. Who has shown
    /// to be `useless` for this file is not tried again.
    pub(super) async fn ask_outside(
        &self,
        want: &Want,
        treatment: Treatment,
        mut expected: Option<Expected>,
        mut useless: Vec<PeerName>,
        mut list: Listing,
    ) -> Result<Landed, NotGiven> {
        let mut talk = match expected {
            // Where the bytes could not be held against anything nobody gives them on, but a member to members.
            Some(Expected::Pending(_)) => None,
            Some(Expected::Unlisted(_)) if !self.inner.peers.is_closed() => None,
            _ => self.talk(want),
        };
        let (mut refused, mut is_to_fetch) = (None, false);
        if let Some(talk) = &mut talk {
            loop {
                let began = Instant::now();
                let turn = talk.next().await;
                is_to_fetch = turn == Turn::Fetch;
                let mut holders = match turn {
                    Turn::Take(holders) => holders,
                    Turn::Fetch | Turn::Nobody => Vec::new(),
                };
                let had_it = holders.clone();
                want.story.tell(began, Did::Together { had_it });
                if holders.is_empty() {
                    refused = self.no_of_one_waited_for(talk, want).await;
                    break;
                }
                holders.retain(|holder| !useless.contains(holder));
                let located = self.located(want, &holders).await;
                let haste = Haste::OthersWait;
                let asked = self.take_from(want, treatment, haste, located, expected, list);
                match asked.await? {
                    Asked::Kept(landed) => {
                        talk.taken(true).await;
                        return Ok(landed);
                    }
                    Asked::Nothing {
                        expected: known,
                        useless: others,
                        list: left,
                        ..
                    } => {
                        useless.extend(others);
                        (expected, list) = (known, left);
                    }
                }
                // What nothing proves a member gives on its word.
                let stated = self.ask_members(want, treatment, haste, &mut expected, &holders);
                if let Some(landed) = stated.await? {
                    talk.taken(true).await;
                    return Ok(landed);
                }
                talk.taken(false).await;
            }
        }
        if is_to_fetch && refused.is_none() {
            let located = self.overlooked(want, &useless).await;
            let haste = Haste::OthersWait;
            let asked = self.take_from(want, treatment, haste, located, expected, list);
            match asked.await? {
                Asked::Kept(landed) => {
                    let kept = Ok(landed);
                    if let Some(talk) = talk {
                        talk.end(self.ending(&kept)).await;
                    }
                    return kept;
                }
                Asked::Nothing {
                    expected: known,
                    useless: others,
                    list: left,
                    ..
                } => {
                    useless.extend(others);
                    (expected, list) = (known, left);
                }
            }
        }
        let asked = match refused {
            Some(no) => Err(no.into()),
            None => {
                let search = Search {
                    expected,
                    useless,
                    list,
                    failed: None,
                };
                self.ask_out(want, treatment, search).await
            }
        };
        if let Some(talk) = talk {
            self.tell_members_no(want, &asked);
            talk.end(self.ending(&asked)).await;
        }
        asked
    }

    /// A conversation with the owners of the file, where it may be asked of neighbours at all, as any may of members, and there are some.
    fn talk(&self, want: &Want) -> Option<Talk> {
        if !self.may_ask_neighbours(&want.key) && !self.inner.peers.is_closed() {
            return None;
        }
        let about = About {
            key: KeyHash::of_file(&want.key),
            place: KeyHash::of_place(&want.key.of.module),
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
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let survey = self.inner.peers.locate_among(holders, Some(hash), None);
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
