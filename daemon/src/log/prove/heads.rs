//! The current head, and others held against it.
//!
//! A larger head becomes current when it was proved an extension of the current one. The tiles for that are gathered while
//! nothing is held and nothing is kept: the tiles are kept and the heads exchanged under one lock, and when somebody else was
//! quicker the proof is made anew against their head. A new head is written after the tiles that prove it, so that a crash in
//! between leaves the old head with all that it needs. What an old head alone needed goes with it if nobody used it
//! (`unused.rs`). An older head is compared with ours where that can be done, and dropped with the tiles that it took:
//! nothing rests on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use modmesh_protocol::log::{Goals, SignedHead, VerifierKey, authenticate, tiles_needed};

use super::super::ask::LogSource;
use super::super::files::Files;
use super::super::sources::Sources;
use super::super::tiles::{Place, Proof};
use super::unused::places_for;
use super::{ProveError, Prover};
use crate::metrics::Source;

/// Heads that were compared, or are being compared, and need not be again. With their notes they take 4 MiB at most.
const HEADS_REMEMBERED_MAX: usize = 256;
/// Who shows a head that lies on this host.
pub(super) const HELD_HERE: &str = "this host itself (its own files, or go's)";
/// How often a head is proved anew because the current one was replaced meanwhile.
const ADOPTIONS_TRIED_MAX: usize = 8;

/// That a larger head continues the current one.
pub(super) struct Extension {
    pub proof: Proof,
    /// Heads that were owed and are continued with it.
    paid: Vec<Arc<SignedHead>>,
    /// Records that are proved with it.
    records: Vec<u64>,
}

impl Extension {
    /// Whether nothing but the larger head was to be proved.
    pub(super) fn is_for_the_head_alone(&self) -> bool {
        self.paid.is_empty() && self.records.is_empty()
    }

    /// The places of the tiles that it needs in its tree of `size` records besides those that continue the current head.
    pub(super) fn needed_without_current(&self, size: u64) -> HashSet<Place> {
        let goals = Goals {
            records: self.records.clone(),
            heads: self.paid.iter().map(|head| head.size()).collect(),
        };
        places_for(size, &goals)
    }
}

/// Heads that were not larger than the current one, by size.
pub(super) type Compared = HashMap<u64, Arc<SignedHead>>;

impl Prover {
    /// Makes `offered` current if it is larger than the current head and extends it; else compares it in the background.
    /// Returns the current head, which is at least as large as `offered`.
    ///
    /// `record` is one that is to be proved under that head next: its tiles are fetched with those of the head.
    pub(in super::super) async fn merge(
        self: &Arc<Self>,
        offered: impl Into<Arc<SignedHead>>,
        record: Option<u64>,
        sources: &mut Sources,
    ) -> Result<Arc<SignedHead>, ProveError> {
        let offered = offered.into();
        for _ in 0..ADOPTIONS_TRIED_MAX {
            if self.is_over() {
                return Err(ProveError::Over);
            }
            let current = self.head();
            if let Some(current) = current
                .as_ref()
                .filter(|head| head.size() >= offered.size())
            {
                self.compare_older(current, &offered, sources)?;
                return Ok(Arc::clone(current));
            }
            let comes_back = self.comes_back(&offered, sources)?;
            // Before there is a current head, the accepted one must be continued.
            let continued = current.as_deref().or(self.accepted.as_deref());
            if let Some(accepted) = continued.filter(|head| head.size() > offered.size()) {
                // What is held against it needs it to be current.
                let accepted = Arc::new(accepted.clone());
                let extension = self.prove_extension(None, &accepted, None, sources).await?;
                if self.adopt(None, &accepted, &extension) {
                    self.surroundings.advanced(accepted.note());
                }
                continue;
            }
            let extension = self
                .prove_extension(continued, &offered, record, sources)
                .await?;
            if self.adopt(current.as_ref(), &offered, &extension) {
                if comes_back {
                    self.contradictions.nothing_is_given_up();
                }
                self.surroundings.advanced(offered.note());
                return Ok(offered);
            }
        }
        Err(match self.is_over() {
            true => ProveError::Over,
            false => ProveError::Overtaken,
        })
    }

    /// Whether `offered` is of a log that was given up. Such a one comes back by the word of the database alone, and where
    /// another one was accepted it does not come back.
    ///
    /// A larger head of it, which was never here, looks like one of any log. So after a log was given up the first head of the
    /// next is the database's own word, where it can be asked.
    fn comes_back(&self, offered: &SignedHead, sources: &Sources) -> Result<bool, ProveError> {
        let contradictions = &self.contradictions;
        let is_given_up = contradictions.is_given_up(offered);
        let is_of_the_database = |source: &Arc<dyn LogSource>| source.source() == Source::Upstream;
        let by_the_database = sources.first().is_some_and(is_of_the_database);
        if is_given_up {
            return match self.accepted.is_none() && by_the_database {
                true => Ok(true),
                false => Err(contradictions.given_up_shown(offered, &sources.first_name())),
            };
        }
        let is_the_first = self.head().is_none() && self.accepted.is_none();
        let database_is_known = self.surroundings.upstream().is_some();
        if is_the_first && contradictions.is_any_given_up() && database_is_known && !by_the_database
        {
            return Err(ProveError::GivenUp(offered.size()));
        }
        Ok(false)
    }

    /// Proves `current` a prefix of the larger `offered`, and with it the heads that are owed, where the tiles for those are
    /// to be had.
    ///
    /// The proof fetches the right edge of `current` at the widths of `offered`. Every tile on the edge of a head that
    /// was current before is either full, and kept, or on the edge of `current`: so by induction the edges of all heads
    /// ever served stay here at current widths.
    async fn prove_extension(
        &self,
        current: Option<&SignedHead>,
        offered: &SignedHead,
        record: Option<u64>,
        sources: &mut Sources,
    ) -> Result<Extension, ProveError> {
        let current = current.filter(|head| head.size() > 0);
        let mut owed = self.owed.below(offered.size());
        let goals = Goals {
            records: record
                .filter(|id| *id < offered.size())
                .into_iter()
                .collect(),
            heads: current.map(SignedHead::size).into_iter().collect(),
        };
        let mut with_owed = goals.clone();
        with_owed.heads.extend(owed.iter().map(|head| head.size()));
        let proof = match self.tiles.prove(offered, &with_owed, sources).await {
            // The way on does not depend on what is owed.
            Err(ProveError::MissingTile(_)) if !owed.is_empty() => {
                owed.clear();
                self.tiles.prove(offered, &goals, sources).await?
            }
            proved => proved?,
        };
        if let Some(current) = current
            && proof.proved.root_of(current.size()) != Some(current.head().root)
        {
            let from = sources.first_name();
            return Err(self.contradictions.show(current, offered, &from));
        }
        for owed in &owed {
            // What only somebody else holds is told of, and does not stop the log that is served here.
            if proof.proved.root_of(owed.size()) != Some(owed.head().root) {
                self.contradictions.show(offered, owed, HELD_HERE);
            }
        }
        Ok(Extension {
            proof,
            paid: owed,
            records: goals.records,
        })
    }

    /// Keeps the tiles of `extension` and exchanges `current` for `offered`; false, with nothing kept, when somebody else has
    /// exchanged it before.
    fn adopt(
        &self,
        current: Option<&Arc<SignedHead>>,
        offered: &Arc<SignedHead>,
        extension: &Extension,
    ) -> bool {
        let _one_at_a_time = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over() || self.head().as_ref().map(Arc::as_ptr) != current.map(Arc::as_ptr) {
            return false;
        }
        let superseded = current.map(Arc::as_ref);
        self.supersede(superseded, offered, extension, || {
            self.tiles.keep(&extension.proof);
            self.write_head(offered);
            self.owed.paid(&extension.paid);
            *self.head.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(offered));
        });
        *self.unjoined() = None;
        tracing::debug!(
            database = self.key.name(),
            size = offered.size(),
            "tree head advanced"
        );
        true
    }

    /// A head that is not larger: dropped, after it was compared with ours. What cannot be compared from what is at hand
    /// is compared in the background, with the tiles of who showed it and no others, because nothing rests on an older head.
    fn compare_older(
        self: &Arc<Self>,
        current: &Arc<SignedHead>,
        offered: &Arc<SignedHead>,
        sources: &Sources,
    ) -> Result<(), ProveError> {
        if let Some(compared) = self.compared_before(current, offered, sources) {
            return compared;
        }
        let Ok(turn) = Arc::clone(&self.comparing).try_acquire_owned() else {
            return Ok(());
        };
        let (prover, sources) = (Arc::clone(self), sources.clone());
        let (current, offered) = (Arc::clone(current), Arc::clone(offered));
        self.shutdown.spawn("compare heads", async move {
            let _turn = turn;
            if let Err(error) = prover.compare(&current, &offered, &sources).await {
                tracing::debug!(size = offered.size(), %error, "an older tree head was not compared");
            }
        });
        Ok(())
    }

    /// Compares an older head with the `current` one, by the tiles that are here and those of the first of `sources`, who
    /// showed it.
    ///
    /// # Errors
    /// They contradict each other; or these tiles do not tell.
    pub(in super::super) async fn compare(
        &self,
        current: &Arc<SignedHead>,
        older: &Arc<SignedHead>,
        sources: &Sources,
    ) -> Result<(), ProveError> {
        if let Some(compared) = self.compared_before(current, older, sources) {
            return compared;
        }
        self.remember(older);
        let mut giver = sources.only_first();
        let compared = self.prove_older(current, older, &mut giver).await;
        compared.inspect_err(|_| {
            self.compared().remove(&older.size());
        })
    }

    /// What came of comparing this head before, or one of its size.
    fn compared_before(
        &self,
        current: &Arc<SignedHead>,
        offered: &SignedHead,
        sources: &Sources,
    ) -> Option<Result<(), ProveError>> {
        let size = offered.size();
        let known = if size == current.size() {
            Some(Arc::clone(current))
        } else {
            self.compared().get(&size).cloned()
        };
        match known {
            Some(known) if known.head().root != offered.head().root => {
                let from = sources.first_name();
                Some(Err(self.contradictions.show(&known, offered, &from)))
            }
            Some(_) => Some(Ok(())),
            None => (size == 0).then_some(Ok(())),
        }
    }

    async fn prove_older(
        &self,
        current: &SignedHead,
        older: &SignedHead,
        giver: &mut Sources,
    ) -> Result<(), ProveError> {
        let goals = Goals {
            records: Vec::new(),
            heads: vec![older.size()],
        };
        let proof = self.tiles.prove(current, &goals, giver).await?;
        if proof.proved.root_of(older.size()) == Some(older.head().root) {
            Ok(())
        } else {
            let from = giver.first_name();
            Err(self.contradictions.show(current, older, &from))
        }
    }

    #[cfg(test)]
    pub(in super::super) fn is_comparing(&self) -> bool {
        self.comparing.available_permits() == 0
    }

    fn remember(&self, head: &Arc<SignedHead>) {
        let mut compared = self.compared();
        if compared.len() >= HEADS_REMEMBERED_MAX {
            compared.clear();
        }
        compared.insert(head.size(), Arc::clone(head));
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, Compared> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The largest kept head whose signature is good and whose right edge is here and folds to its root. A machine that went
/// down may have lost the tiles of the newest head and kept the head, or the reverse; then an older one serves.
///
/// With it come the larger ones that were passed over: clients may hold them.
pub(super) fn newest_whole(
    files: &Files,
    key: &VerifierKey,
) -> (Option<SignedHead>, Vec<SignedHead>) {
    let mut lost = Vec::new();
    let newest = files.heads().find_map(|note| {
        let head = SignedHead::open(note.as_bytes(), key).ok()?;
        let goals = Goals::default();
        let tiles = tiles_needed(head.size(), &goals)
            .ok()?
            .into_iter()
            .filter_map(|at| Some(((at.level, at.index), files.tile(at.level, at.index)?)))
            .collect();
        match authenticate(head.head(), &goals, &tiles) {
            Ok(_) => Some(head),
            Err(error) => {
                tracing::warn!(size = head.size(), %error, "a kept tree head lacks its tiles; an older one is used");
                lost.push(head);
                None
            }
        }
    });
    (newest, lost)
}
