//! Heads that are not larger than the current one, held against it.
//!
//! Nothing rests on such a head, so it is dropped with the tiles that it took. It is of our log, or it contradicts it, and
//! then whoever shows it is named. A head counts as one of ours when that was proved, and never before: while it is being
//! compared it is held against nobody.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use modmesh_protocol::log::{Goals, SignedHead};

use super::super::sources::ShownBy;
use super::{ProveError, Prover};

/// Heads that were compared and need not be again. With their notes they take 4 MiB at most.
const HEADS_REMEMBERED_MAX: usize = 256;
/// Larger heads that could not be proved and are compared when ours is as large.
const UNCLEAR_MAX: usize = 16;

/// Heads that were proved to be of our log, by size.
pub(super) type Compared = HashMap<u64, Arc<SignedHead>>;

impl Prover {
    /// A head that is not larger: dropped, after it was compared with ours. What cannot be compared from what is at hand
    /// is compared in the background, with the tiles of who showed it and no others, because nothing rests on an older head.
    pub(super) fn compare_older(
        self: &Arc<Self>,
        current: &Arc<SignedHead>,
        offered: &Arc<SignedHead>,
        by: &ShownBy,
    ) -> Result<(), ProveError> {
        if let Some(compared) = self.compared_before(current, offered, by) {
            return compared;
        }
        let Ok(turn) = Arc::clone(&self.comparing).try_acquire_owned() else {
            return Ok(());
        };
        let (prover, by) = (Arc::clone(self), by.clone());
        let (current, offered) = (Arc::clone(current), Arc::clone(offered));
        self.shutdown.spawn("compare heads", async move {
            let _turn = turn;
            if let Err(error) = prover.compare(&current, &offered, &by).await {
                tracing::debug!(size = offered.size(), %error, "an older tree head was not compared");
            }
        });
        Ok(())
    }

    /// Compares an older head with the `current` one, by the tiles that are here and those of `by`, who showed it.
    ///
    /// # Errors
    /// They contradict each other; or these tiles do not tell.
    pub(in super::super) async fn compare(
        &self,
        current: &Arc<SignedHead>,
        older: &Arc<SignedHead>,
        by: &ShownBy,
    ) -> Result<(), ProveError> {
        if let Some(compared) = self.compared_before(current, older, by) {
            return compared;
        }
        let goals = Goals {
            records: Vec::new(),
            heads: vec![older.size()],
        };
        let proof = self.tiles.prove(current, &goals, &mut by.alone()).await?;
        if proof.proved.root_of(older.size()) != Some(older.head().root) {
            return Err(self.contradictions.show(current, older, &by.name()));
        }
        self.remember(older);
        Ok(())
    }

    /// What came of comparing this head before, or one of its size.
    fn compared_before(
        &self,
        current: &Arc<SignedHead>,
        offered: &SignedHead,
        by: &ShownBy,
    ) -> Option<Result<(), ProveError>> {
        let size = offered.size();
        let known = if size == current.size() {
            Some(Arc::clone(current))
        } else {
            self.compared().get(&size).cloned()
        };
        match known {
            Some(known) if known.head().root != offered.head().root => {
                Some(Err(self.contradictions.show(&known, offered, &by.name())))
            }
            Some(_) => Some(Ok(())),
            None => (size == 0).then_some(Ok(())),
        }
    }

    /// Keeps in mind that `offered`, which `by` showed, could not be proved, and that what did not fit it may well be true.
    pub(super) fn remember_unclear(&self, offered: &Arc<SignedHead>, by: &ShownBy) {
        let mut unclear = self.unclear();
        unclear.retain(|(head, _)| head.head() != offered.head());
        if unclear.len() < UNCLEAR_MAX {
            unclear.push((Arc::clone(offered), by.clone()));
        }
    }

    /// Compares with the larger head `current` what was unclear before, by the tiles that are here.
    pub(super) fn compare_unclear(self: &Arc<Self>, current: &Arc<SignedHead>) {
        let is_below = |head: &SignedHead| head.size() <= current.size();
        let unclear: Vec<_> = {
            let mut unclear = self.unclear();
            let (below, above) = unclear.drain(..).partition(|(head, _)| is_below(head));
            *unclear = above;
            below
        };
        if unclear.is_empty() {
            return;
        }
        let (prover, current) = (Arc::clone(self), Arc::clone(current));
        self.shutdown.spawn("unclear heads", async move {
            for (head, by) in unclear {
                if let Err(error) = prover.compare(&current, &head, &by).await {
                    tracing::debug!(size = head.size(), %error, "a tree head that was unclear is not of our log, or is unclear still");
                }
            }
        });
    }

    fn unclear(&self) -> MutexGuard<'_, Vec<(Arc<SignedHead>, ShownBy)>> {
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(in super::super) fn is_comparing(&self) -> bool {
        self.comparing.available_permits() == 0
    }

    /// The head was proved to be one of our log.
    fn remember(&self, head: &Arc<SignedHead>) {
        self.contradictions.given_up().is_ours(head);
        let mut compared = self.compared();
        if compared.len() >= HEADS_REMEMBERED_MAX {
            compared.clear();
        }
        compared.insert(head.size(), Arc::clone(head));
    }

    fn compared(&self) -> MutexGuard<'_, Compared> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
