//! Current heads that nobody has used: they leave nothing behind when a larger one takes their place.
//!
//! A host by itself learns of a larger head a hundred times a day, whether anybody asks it for something or not. What joins two
//! heads is fetched to prove the larger one; kept it must be only where a client or a neighbour may hold the smaller one,
//! or something was proved under it. Whoever uses the current head says so by [`Prover::using`], for as long as the tiles of
//! that head must stay.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use modmesh_protocol::log::{Goals, SignedHead, tiles_needed};

use super::super::tiles::Place;
use super::Prover;
use super::heads::Extension;

/// Whether the current head is in use.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// Who uses it now.
    users: usize,
    /// The tiles that are here for the current head alone; nothing when somebody has used it.
    places: Option<HashSet<Place>>,
}

/// Somebody uses the current head, and whatever head becomes current meanwhile.
#[derive(Debug)]
#[must_use]
pub(in super::super) struct Using(Arc<Prover>);

impl Drop for Using {
    fn drop(&mut self) {
        let mut unused = self.0.unused();
        unused.users = unused.users.saturating_sub(1);
    }
}

impl Prover {
    /// The current head is used until the guard is dropped, and counts as used ever after.
    pub(in super::super) fn using(self: &Arc<Self>) -> Using {
        let mut unused = self.unused();
        unused.users = unused.users.saturating_add(1);
        unused.places = None;
        Using(Arc::clone(self))
    }

    /// Exchanges `current` for the larger `offered` by `exchange`, which keeps the tiles of `extension`. If nobody has used
    /// `current`, what was here for it alone is let go of.
    pub(super) fn supersede(
        &self,
        current: Option<&SignedHead>,
        offered: &SignedHead,
        extension: &Extension,
        exchange: impl FnOnce(),
    ) {
        let mut unused = self.unused();
        // The first tile of a level that the tree had not before leads to everything that was proved in a smaller tree.
        let is_new =
            |(level, index): &Place| *index > 0 && self.tiles.kept(*level, *index).is_none();
        let mut alone: HashSet<Place> = extension.proof.fresh().filter(is_new).collect();
        exchange();
        let before = unused.places.take();
        if self.files.head_written(offered.size()).is_none() {
            return;
        }
        if let (Some(places), Some(current)) = (before, current) {
            let needed = extension.needed_without_current(offered.size());
            let (stay, go): (Vec<_>, Vec<_>) =
                places.into_iter().partition(|place| needed.contains(place));
            self.files.forget_head(current.size());
            go.into_iter().for_each(|place| self.tiles.forget(place));
            alone.extend(stay);
        }
        // Neighbours are told of it at once.
        let is_ours_alone =
            extension.is_for_the_head_alone() && self.surroundings.neighbours().is_empty();
        if unused.users == 0 && is_ours_alone {
            unused.places = Some(alone);
        }
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of all tiles that `goals` need in a tree of `size` records.
pub(super) fn places_for(size: u64, goals: &Goals) -> HashSet<Place> {
    let needed = tiles_needed(size, goals).unwrap_or_default();
    needed.into_iter().map(|at| (at.level, at.index)).collect()
}
