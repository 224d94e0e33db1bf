//! Of which versions a list speaks while no upstream answers: up to the best one whose zip is here, or at a neighbour.
//!
//! A host knows of more versions than it can give, for `go` asks for the record and the go.mod of a module's latest version
//! whichever it uses, to see what that one retracts. It takes the highest of a list for the latest, and then fetches its zip. So a
//! list of all that is known would lead to what nobody here has. Neighbours are asked by the hash of the zip, as always;
//! they can withhold, and a list gains nothing by what they say.
//!
//! What the latest version retracts stays retracted: it is read here where `go` cannot, since that version is not in the list.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::go_mod::Retractions;
use modmesh_protocol::limits::{NO_PROGRESS_MAX, VERSIONS_RECORDS_MAX};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use tokio::time::timeout;

use super::Fetcher;
use super::words::newest;
use crate::peers::{Haste, Peers};
use crate::policy::{Asker, Treatment};
use crate::seldom::Seldom;
use crate::trust::{GO_MOD_BYTES_MAX, Scope};
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
#[derive(Debug, PartialEq, Eq)]
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

    /// Those of `known` among which `go` takes one that can be had; all while there is an upstream to ask for them.
    pub(super) async fn spoken_of(
        &self,
        module: &ModulePath,
        known: Vec<Version>,
        asker: Asker,
    ) -> Spoken {
        let everything = |versions| Spoken {
            versions,
            newer: None,
        };
        // The list of toolchains is that of all platforms, and `go` wants to know which releases there are.
        let is_toolchain = self.inner.policy.treatment(module) == Treatment::Toolchain;
        let Some(latest) = newest(&known).filter(|_| !is_toolchain) else {
            return everything(known);
        };
        if !self.is_without_upstream(asker) || self.is_held(module, &latest, asker) {
            return everything(known);
        }
        let Some(go_mod) = self.go_mod_of(module, &latest, asker).await else {
            return everything(known);
        };
        let retracted = Retractions::of(&go_mod);
        let mut good: Vec<_> = known.iter().filter(|one| !retracted.contain(one)).collect();
        good.sort_by_cached_key(|version| std::cmp::Reverse(version.preference()));
        let Some(best) = self.first_obtainable(module, &good, asker).await else {
            return everything(known);
        };
        let spoken = choose(known, &best, &latest, &retracted);
        if let Some(newer) = &spoken.newer
            && let Some(left_out) = LEFT_OUT.turn()
        {
            tracing::info!(%module, %newer, left_out, "no upstream answers: go is told of the versions up to the best one that is here or at a neighbour");
        }
        spoken
    }

    /// The go.mod of a version: the one that is here, or a neighbour's.
    async fn go_mod_of(
        &self,
        module: &ModulePath,
        version: &Version,
        asker: Asker,
    ) -> Option<Vec<u8>> {
        let of = ModuleVersion::new(module.clone(), version.clone()).ok()?;
        let kind = FileKind::Mod;
        let key = ArtifactKey { of, kind };
        let stored = match self.stored(&key).await {
            Some(stored) => stored,
            None if self.inner.peers.connected() == 0 => return None,
            None => {
                let fetching = self.inner.files.join((key.clone(), Asker::Anybody), || {
                    self.clone().obtain(key.clone(), Asker::Anybody)
                });
                let landed = timeout(ASKING_MAX, fetching).await.ok()?.ok()?.ok()?;
                landed.stored.again().ok()?
            }
        };
        if stored.entry.proof.scope() != Scope::Proven && asker != Asker::Owner {
            return None;
        }
        let read = tokio::task::spawn_blocking(move || {
            let (mut text, mut file) = (Vec::new(), stored.file);
            file.rewind()?;
            file.take(GO_MOD_BYTES_MAX).read_to_end(&mut text)?;
            Ok::<_, std::io::Error>(text)
        });
        read.await.ok()?.ok()
    }

    /// Whether the zip of the version is here, for `asker`.
    fn is_held(&self, module: &ModulePath, version: &Version, asker: Asker) -> bool {
        let zip = zip_of(module, version);
        let scope = zip.and_then(|zip| self.inner.store.scope_of(&zip));
        match scope {
            Some(Scope::Proven) => true,
            Some(_) => asker == Asker::Owner,
            None => false,
        }
    }

    /// The first of `versions` whose zip is here or at a neighbour.
    async fn first_obtainable(
        &self,
        module: &ModulePath,
        versions: &[&Version],
        asker: Asker,
    ) -> Option<Version> {
        let held = versions
            .iter()
            .position(|one| self.is_held(module, one, asker));
        let better = versions.iter().take(held.unwrap_or(versions.len()));
        let better: Vec<_> = better
            .filter_map(|one| zip_of(module, one))
            .take(ASKED_ABOUT_MAX)
            .collect();
        let began = Instant::now();
        for zips in better.chunks(ASKED_AT_ONCE) {
            if began.elapsed() >= ASKING_MAX {
                break;
            }
            let there = self.at_neighbours(zips.to_vec(), asker).await;
            if let Some(best) = there.into_iter().max_by_key(Version::preference) {
                return Some(best);
            }
        }
        held.and_then(|held| versions.get(held))
            .map(|version| (*version).clone())
    }

    /// The versions of those zips that a neighbour says to have.
    async fn at_neighbours(&self, mut zips: Vec<ArtifactKey>, asker: Asker) -> Vec<Version> {
        // What nothing proves members have for this host's user.
        let of_members = asker == Asker::Owner && self.inner.peers.is_closed();
        zips.retain(|zip| of_members || self.may_ask_neighbours(zip));
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
            let holders = peers.survey_everywhere(zip, Haste::NobodyElse).await.found;
            let is_there = !holders.is_empty()
                || of_members
                    && !peers
                        .stated(zip, Haste::NobodyElse, &[])
                        .await
                        .found
                        .is_empty();
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

fn zip_of(module: &ModulePath, version: &Version) -> Option<ArtifactKey> {
    let of = ModuleVersion::new(module.clone(), version.clone()).ok()?;
    let kind = FileKind::Zip;
    Some(ArtifactKey { of, kind })
}

/// What is spoken of where `best` is the best version that can be had, and the go.mod of the `latest` retracts these.
///
/// `go` takes the highest of a list that the latest of the list does not retract. So what it would take before `best` is left
/// out, and with the latest what that one retracts. Where `best` is not of the same kind as what `go` would take of all (a
/// pre-release in the place of a release), all is spoken of: then `go` says itself what is missing.
fn choose(
    known: Vec<Version>,
    best: &Version,
    latest: &Version,
    retracted: &Retractions,
) -> Spoken {
    let good = known.iter().filter(|one| !retracted.contain(one));
    let wanted = good.max_by_key(|one| one.preference()).cloned();
    let newer = wanted.filter(|wanted| wanted != best && quality(wanted) == quality(best));
    let mut versions = known;
    if newer.is_some() {
        // Where it retracts itself `go` reads there what is retracted, and does not take it.
        let latest_stays = retracted.contain(latest);
        versions.retain(|one| match retracted.contain(one) {
            true => latest_stays,
            false => one.preference() <= best.preference(),
        });
    }
    Spoken { versions, newer }
}

/// What kind of version it is; `go` does not take one in the place of another without being told.
fn quality(version: &Version) -> (bool, bool, bool) {
    (
        version.is_prerelease(),
        version.is_pseudo(),
        version.is_incompatible(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<Version> {
        let parse = |text: &&str| Version::parse(text).unwrap();
        texts.iter().map(parse).collect()
    }

    #[test]
    fn what_can_be_had_stands_in_for_what_cannot_as_go_would_choose_it() {
        const ALL: &[&str] = &[];
        let three: &[&str] = &["v1.0.0", "v1.1.0", "v1.2.0"];
        type Texts = &'static [&'static str];
        type Row = (
            Texts,
            &'static str,
            &'static str,
            Texts,
            Option<&'static str>,
        );
        let rows: &[Row] = &[
            // Known, the best to be had, go.mod of the latest, spoken of (nothing: all), newer.
            (three, "v1.0.0", "", &["v1.0.0"], Some("v1.2.0")),
            (three, "v1.1.0", "", &["v1.0.0", "v1.1.0"], Some("v1.2.0")),
            (three, "v1.2.0", "", ALL, None),
            // What it retracts goes with it, for nobody else would say so.
            (
                three,
                "v1.1.0",
                "retract v1.0.0",
                &["v1.1.0"],
                Some("v1.2.0"),
            ),
            // The latest retracts itself: it stays, and `go` passes over it.
            (
                three,
                "v1.0.0",
                "retract v1.2.0",
                &["v1.0.0", "v1.2.0"],
                Some("v1.1.0"),
            ),
            (three, "v1.1.0", "retract v1.2.0", ALL, None),
            // No pre-release for a release, no +incompatible for one that is not.
            (&["v1.0.0-rc.1", "v1.2.0"], "v1.0.0-rc.1", "", ALL, None),
            (&["v1.0.0", "v2.0.0+incompatible"], "v1.0.0", "", ALL, None),
            (
                &["v1.0.0-rc.1", "v1.0.0-rc.2"],
                "v1.0.0-rc.1",
                "",
                &["v1.0.0-rc.1"],
                Some("v1.0.0-rc.2"),
            ),
        ];
        for (known, best, go_mod, expected, newer) in rows {
            let (known, best) = (versions(known), Version::parse(best).unwrap());
            let latest = newest(&known).unwrap();
            let retracted = Retractions::of(go_mod.as_bytes());
            let spoken = choose(known.clone(), &best, &latest, &retracted);
            let expected = match expected.is_empty() {
                true => known,
                false => versions(expected),
            };
            let newer = newer.map(|newer| Version::parse(newer).unwrap());
            let expected = Spoken {
                versions: expected,
                newer,
            };
            assert_eq!(spoken, expected, "{best}: {go_mod}");
        }
    }
}
