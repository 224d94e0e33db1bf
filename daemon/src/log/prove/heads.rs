//! The current head, and others held against it.
//!
//! A larger head becomes current when it was proved an extension of the current one. The tiles for that are gathered while
//! nothing is held and nothing is kept: the tiles are kept and the heads exchanged under one lock, and when somebody else was
//! quicker the proof is made anew against their head. A new head is written after the tiles that prove it, so that a crash in
//! between leaves the old head with all that it needs. What an old head alone needed goes with it if nobody used it
//! (`unused.rs`). A head that is not larger is compared (`older.rs`).
//!
//! Of a larger head nobody knows whether it is of our log before it was proved to be. Till then it convicts nobody: where tiles do
//! not fit it, both sides are heard.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use modmesh_protocol::log::{Goals, SignedHead, VerifierKey, authenticate, tiles_needed};

use super::super::files::Files;
use super::super::sources::{ShownBy, Sources};
use super::super::tiles::{Place, Proof};
use super::super::verdict::{Doubts, Verdicts};
use super::unused::places_for;
use super::{ProveError, Prover};

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

impl Prover {
    /// Makes `offered`, which `by` shows, current if it is larger than the current head and extends it; else compares it in the
    /// background. Returns the current head, which is at least as large as `offered`.
    ///
    /// `record` is one that is to be proved under that head next: its tiles are fetched with those of the head.
    pub(in super::super) async fn merge(
        self: &Arc<Self>,
        offered: impl Into<Arc<SignedHead>>,
        by: &ShownBy,
        record: Option<u64>,
        sources: &mut Sources,
    ) -> Result<Arc<SignedHead>, ProveError> {
        let (offered, mut doubts) = (offered.into(), Doubts::default());
        let merging = self.try_to_merge(&offered, by, record, sources, &mut doubts);
        let merged = merging.await;
        if merged.is_err() {
            self.hear_both(&offered, by, doubts).await;
        }
        merged
    }

    /// The same without judging anybody; what did not fit `offered` is in `doubts` when that could not be proved.
    async fn try_to_merge(
        self: &Arc<Self>,
        offered: &Arc<SignedHead>,
        by: &ShownBy,
        record: Option<u64>,
        sources: &mut Sources,
        doubts: &mut Doubts,
    ) -> Result<Arc<SignedHead>, ProveError> {
        for _ in 0..ADOPTIONS_TRIED_MAX {
            if self.is_over() {
                return Err(ProveError::Over);
            }
            let current = self.head();
            let is_larger = |head: &&Arc<SignedHead>| head.size() >= offered.size();
            if let Some(current) = current.as_ref().filter(is_larger) {
                self.compare_older(current, offered, by)?;
                return Ok(Arc::clone(current));
            }
            // Before there is a current head, the accepted one must be continued.
            let continued = current.as_ref().or(self.accepted.as_ref());
            let may_lead = self.may_lead(offered, continued.map(Arc::as_ref), by);
            let accepted_first = current.is_none() && may_lead.is_err();
            let to_be_accepted = continued.filter(|head| accepted_first || is_larger(head));
            if let Some(accepted) = to_be_accepted {
                // What is held against it needs it to be current.
                let extension = self.prove_accepted(accepted, sources).await?;
                if self.adopt(None, accepted, &extension) {
                    self.surroundings.advanced(accepted.note());
                    self.compare_unclear(accepted);
                }
                continue;
            }
            may_lead?;
            let continued = continued.map(Arc::as_ref);
            let extension = self
                .prove_extension(continued, offered, by, record, sources, doubts)
                .await?;
            if self.adopt(current.as_ref(), offered, &extension) {
                self.contradictions.given_up().is_ours(offered);
                self.surroundings.advanced(offered.note());
                self.compare_unclear(offered);
                return Ok(Arc::clone(offered));
            }
        }
        Err(match self.is_over() {
            true => ProveError::Over,
            false => ProveError::Overtaken,
        })
    }

    /// Whether `by` may move the head to `offered`, if that proves to continue the head `continued`.
    ///
    /// The database's own word may. A head that was given up does not come back by anybody else's, but where there are neighbours
    /// alone and nothing speaks against it. And as long as the log may be the one that was given up, in a part of it that was never
    /// here, the database leads, where there is one to be asked: it is the neighbours that may not have been told yet.
    fn may_lead(
        &self,
        offered: &SignedHead,
        continued: Option<&SignedHead>,
        by: &ShownBy,
    ) -> Result<(), ProveError> {
        if by.is_the_database() {
            return Ok(());
        }
        let given_up = self.contradictions.given_up();
        let has_database = self.surroundings.upstream().is_some();
        if given_up.has(offered) {
            return match has_database || given_up.was_contradicted() {
                true => Err(self.contradictions.given_up_shown(offered, &by.name())),
                false => Ok(()),
            };
        }
        let size = continued.map_or(0, SignedHead::size);
        match has_database && given_up.may_go_on_above(size) {
            true => Err(ProveError::DatabaseFirst(offered.size())),
            false => Ok(()),
        }
    }

    /// Proves the accepted head by itself. It is of the log that is followed here, for a person said so.
    async fn prove_accepted(
        &self,
        accepted: &Arc<SignedHead>,
        sources: &mut Sources,
    ) -> Result<Extension, ProveError> {
        let goals = Goals::default();
        Ok(Extension {
            proof: self.tiles.prove(accepted, &goals, sources).await?,
            paid: Vec::new(),
            records: Vec::new(),
        })
    }

    /// `offered`, which `by` showed, could not be proved, and `doubts` are of what did not fit it. Who gave it may show a head of
    /// another log under which that stands: then it is held against ours like any other, and where it is one of ours the database
    /// signed two logs, and `offered` is not of ours.
    async fn hear_both(self: &Arc<Self>, offered: &Arc<SignedHead>, by: &ShownBy, doubts: Doubts) {
        let verdicts = self.tiles.verdicts();
        let mut is_unclear = false;
        for doubt in doubts.alone {
            match verdicts.other_log(&doubt, offered).await {
                Some(own) => {
                    let (own, source) = (Arc::new(own), ShownBy::Source(doubt.source));
                    if self.is_one_of_ours(&own, &source).await {
                        self.contradictions.show(&own, offered, &by.name());
                        return;
                    }
                }
                None if by.is(&doubt.source) => Verdicts::blame(&doubt, offered),
                // It is one's word against another's.
                None => is_unclear = true,
            }
        }
        if is_unclear {
            self.remember_unclear(offered, by);
        }
    }

    /// Whether `own`, which `by` shows, is a head of our log; a larger one becomes current.
    async fn is_one_of_ours(self: &Arc<Self>, own: &Arc<SignedHead>, by: &ShownBy) -> bool {
        if self.head().is_none_or(|head| head.size() < own.size()) {
            let (mut sources, mut doubts) = (by.alone(), Doubts::default());
            let merging = self.try_to_merge(own, by, None, &mut sources, &mut doubts);
            if merging.await.is_err() {
                return false;
            }
        }
        match self.head() {
            Some(current) => self.compare(&current, own, by).await.is_ok(),
            None => false,
        }
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
        by: &ShownBy,
        record: Option<u64>,
        sources: &mut Sources,
        doubts: &mut Doubts,
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
        let tiles = &self.tiles;
        let proving = tiles.try_to_prove(offered, &with_owed, sources, doubts);
        let proof = match proving.await {
            // The way on does not depend on what is owed.
            Err(ProveError::MissingTile(_)) if !owed.is_empty() => {
                owed.clear();
                let proving = tiles.try_to_prove(offered, &goals, sources, doubts);
                proving.await?
            }
            proved => proved?,
        };
        let doubts = std::mem::take(doubts);
        if let Some(current) = current
            && proof.proved.root_of(current.size()) != Some(current.head().root)
        {
            return Err(self.contradictions.show(current, offered, &by.name()));
        }
        // It is of our log, so whatever does not fit it is false.
        let verdicts = tiles.verdicts();
        verdicts.settle(doubts, offered, Some(&proof.proved)).await;
        for owed in &owed {
            // What only somebody else holds is told of, and does not stop the log that is served here.
            if proof.proved.root_of(owed.size()) != Some(owed.head().root) {
                let held = ShownBy::ThisHost.name();
                self.contradictions.show(offered, owed, &held);
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
