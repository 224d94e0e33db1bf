//! Which of the known versions can be had while no upstream answers: those whose zip is here, or at a neighbour.
//!
//! A host knows of more versions than it can give, for `go` asks for the record and the go.mod of a module's latest version
//! whichever it uses, to see what that one retracts. It takes the highest of a list for the latest, and then fetches its zip. So a
//! list of all that is known would lead to what nobody here has. Neighbours are asked by the hash of the zip, as always;
//! they can withhold, and a list gains nothing by what they say.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::limits::{NO_PROGRESS_MAX, VERSIONS_RECORDS_MAX};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use tokio::time::timeout;

use super::Fetcher;
use super::words::newest;
use crate::peers::{Haste, Peers};
use crate::policy::Asker;
use crate::seldom::Seldom;
use crate::trust::Scope;
use crate::upstream::Upstream;

/// Zips of one module that neighbours are asked about, those of the versions that `go` would take first: as many as a neighbour
/// shows records of.
const ASKED_ABOUT_MAX: usize = VERSIONS_RECORDS_MAX;
/// How many of them at the same time; a neighbour takes hardly more questions of one host at once.
const ASKED_AT_ONCE: usize = 8;
/// How long the asking may take. What is not known by then is not there.
const ASKING_MAX: Duration = NO_PROGRESS_MAX;
/// How long an answer counts: `go` asks for the list of one module several times in a row.
const ANSWER_COUNTS: Duration = Duration::from_secs(10);
/// Answers that are remembered; 200 kB.
const ANSWERS_MAX: usize = 4096;

static LEFT_OUT: Seldom = Seldom::new();

/// Whether a neighbour said to have a zip, and when it was asked.
#[derive(Debug, Default)]
pub(in crate::fetch) struct ZipsAsked(Mutex<HashMap<KeyHash, (Instant, bool)>>);

impl ZipsAsked {
    fn lately(&self, zip: KeyHash) -> Option<bool> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, there) = asked.get(&zip)?;
        (since.elapsed() < ANSWER_COUNTS).then_some(*there)
    }

    fn remember(&self, zip: KeyHash, there: bool) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= ANSWERS_MAX {
            asked.clear();
        }
        asked.insert(zip, (Instant::now(), there));
    }
}

/// The versions to speak of while no upstream answers.
#[derive(Debug)]
pub(super) struct Spoken {
    pub versions: Vec<Version>,
    /// What `go` would take for the latest, where that is known of and cannot be had, so that it is none of these.
    pub newer: Option<Version>,
}

impl Fetcher {
    /// Whether no upstream can be asked for `asker` now.
    pub(super) fn is_without_upstream(&self, asker: Asker) -> bool {
        let upstream = self.upstream_for(asker);
        upstream.as_ref().is_none_or(Upstream::is_down)
    }

    /// Those of `known` that can be had; all of them where none can, or while there is an upstream to ask for them.
    pub(super) async fn spoken_of(
        &self,
        module: &ModulePath,
        known: Vec<Version>,
        asker: Asker,
    ) -> Spoken {
        let versions = match self.is_without_upstream(asker) {
            true => self.obtainable(module, &known, asker).await,
            false => Vec::new(),
        };
        if versions.is_empty() {
            let newer = None;
            return Spoken {
                versions: known,
                newer,
            };
        }
        let newer = newest(&known).filter(|newest| !versions.contains(newest));
        if let Some(newer) = &newer
            && let Some(times_left_out) = LEFT_OUT.turn()
        {
            let unheard = known.len() - versions.len();
            tracing::info!(%module, %newer, unheard, times_left_out, "no upstream answers: go is told of the versions alone that are here or at a neighbour");
        }
        Spoken { versions, newer }
    }

    /// Those of `known` whose zip is here or at a neighbour, in their order.
    async fn obtainable(
        &self,
        module: &ModulePath,
        known: &[Version],
        asker: Asker,
    ) -> Vec<Version> {
        let mut zips: Vec<_> = known
            .iter()
            .filter_map(|version| {
                let of = ModuleVersion::new(module.clone(), version.clone()).ok()?;
                let kind = FileKind::Zip;
                Some((version, ArtifactKey { of, kind }))
            })
            .collect();
        zips.sort_by_cached_key(|(version, _)| std::cmp::Reverse(version.preference()));
        let (mut there, mut elsewhere) = (Vec::new(), Vec::new());
        for (version, zip) in zips {
            match self.inner.store.scope_of(&zip) {
                Some(Scope::Proven) => there.push(version.clone()),
                Some(_) if asker == Asker::Owner => there.push(version.clone()),
                _ => elsewhere.push(zip),
            }
        }
        there.extend(self.at_neighbours(elsewhere, asker).await);
        there.sort();
        there
    }

    /// The versions of those zips that a neighbour says to have.
    async fn at_neighbours(&self, mut zips: Vec<ArtifactKey>, asker: Asker) -> Vec<Version> {
        // What nothing proves members have for this host's user.
        let of_members = asker == Asker::Owner && self.inner.peers.is_closed();
        zips.retain(|zip| of_members || self.may_ask_neighbours(zip));
        zips.truncate(ASKED_ABOUT_MAX);
        if self.inner.peers.connected() == 0 {
            return Vec::new();
        }
        let (asked, mut there) = (&self.inner.zips_asked, Vec::new());
        let (mut unknown, mut unanswered) = (Vec::new(), HashSet::new());
        for ArtifactKey { of, kind } in zips {
            let version = of.version.clone();
            let zip = KeyHash::of_file(&ArtifactKey { of, kind });
            match asked.lately(zip) {
                Some(true) => there.push(version),
                Some(false) => {}
                None => {
                    unanswered.insert(zip);
                    unknown.push((version, zip, self.inner.peers.clone()));
                }
            }
        }
        let ask = |(version, zip, peers): (Version, KeyHash, Peers)| async move {
            let holders = peers.locate(Some(zip), None, Haste::NobodyElse).await;
            let is_there = !holders.is_empty()
                || of_members && !peers.stated(zip, Haste::NobodyElse).await.found.is_empty();
            (version, zip, is_there)
        };
        let mut answers = stream::iter(unknown)
            .map(ask)
            .buffer_unordered(ASKED_AT_ONCE);
        let asking = async {
            while let Some((version, zip, is_there)) = answers.next().await {
                asked.remember(zip, is_there);
                unanswered.remove(&zip);
                if is_there {
                    there.push(version);
                }
            }
        };
        // A neighbour that is silent costs this time once, and not for each question of go.
        if timeout(ASKING_MAX, asking).await.is_err() {
            for zip in unanswered {
                asked.remember(zip, false);
            }
        }
        there
    }
}
