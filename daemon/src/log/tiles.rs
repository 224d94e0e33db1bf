//! The tiles that are here, and proofs made of them.
//!
//! A proof is always made in the same order: gather the tiles it needs, from here or from the sources; authenticate every
//! one of them against its parent or the root. What was new is kept by [`Tiles::keep`] and not before: whoever asked for the
//! proof looks first whether the head it was made under may be believed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use modmesh_protocol::log::{
    Authenticated, Goals, HeldTiles, SignedHead, Tile, TileCoordinate, Untrue, authenticate,
    tiles_needed,
};

use super::ask::LogSource;
use super::files::Files;
use super::prove::ProveError;
use super::sources::{Given, Sources, is_same};
use super::verdict::{Doubts, Verdicts};
use crate::metrics::Source;
use crate::seldom::Seldom;

static UNKEPT: Seldom = Seldom::new();

/// Tiles kept in memory: 2 MiB at most.
const TILES_IN_MEMORY_MAX: usize = 256;
/// Tiles that could not be written and are held until they can be: 2 MiB at most.
const UNWRITTEN_MAX: usize = 256;

/// Where a tile stands: level and index.
pub(super) type Place = (u8, u64);

/// The tiles of one database.
#[derive(Debug)]
pub(super) struct Tiles {
    files: Arc<Files>,
    verdicts: Verdicts,
    memory: Mutex<HashMap<Place, Arc<Tile>>>,
    /// Proved, and not on the disk: it was full.
    unwritten: Mutex<HashMap<Place, Arc<Tile>>>,
}

/// What was proved, and which tiles of it were not here.
#[derive(Debug)]
pub(super) struct Proof {
    pub proved: Authenticated,
    /// Those that were not here, and where they came from.
    fresh: HashMap<Place, Source>,
    /// Tiles that were here and did not belong to this proof: damaged since they were kept, or of another log.
    doubted: HashSet<Place>,
}

/// Tiles for one proof, and who just gave which of them.
struct Gathered {
    tiles: HashMap<Place, Tile>,
    givers: HashMap<Place, Arc<dyn LogSource>>,
}

impl Tiles {
    pub(super) fn new(files: Arc<Files>, verdicts: Verdicts) -> Self {
        Self {
            files,
            verdicts,
            memory: Mutex::default(),
            unwritten: Mutex::default(),
        }
    }

    /// Who judges what sources gave.
    pub(super) fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// The kept tile at `level` and `index`, in its widest form.
    pub(super) fn kept(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        if let Some(tile) = self.memory().get(&(level, index)) {
            return Some(Arc::clone(tile));
        }
        if let Some(tile) = self.unwritten().get(&(level, index)) {
            return Some(Arc::clone(tile));
        }
        let tile = Arc::new(self.files.tile(level, index)?);
        self.remember(Arc::clone(&tile));
        Some(tile)
    }

    /// The full tiles in memory.
    pub(super) fn at_hand(&self) -> HeldTiles {
        let memory = self.memory();
        let full = memory
            .iter()
            .filter(|(_, tile)| tile.coordinate().is_full());
        HeldTiles::of(full.map(|(place, _)| *place))
    }

    /// Proves what `goals` ask under `head`, which is of the log that is followed here, asking `sources` in turn for the tiles
    /// that are not here. Who gave what is false is judged.
    ///
    /// # Errors
    /// Tiles that nobody has; or false ones, when nobody is left to ask.
    pub(super) async fn prove(
        &self,
        head: &SignedHead,
        goals: &Goals,
        sources: &mut Sources,
    ) -> Result<Proof, ProveError> {
        let mut doubts = Doubts::default();
        let outcome = self.try_to_prove(head, goals, sources, &mut doubts).await;
        let proved = outcome.as_ref().ok().map(|proof| &proof.proved);
        self.verdicts.settle(doubts, head, proved).await;
        outcome
    }

    /// The same under a `head` of which that is not known yet: nobody is judged, and what did not fit it is in `doubts`.
    ///
    /// Tiles of our own among which a false one is are asked for anew before anybody is suspected: they were true under our
    /// head, and `head` may be of another log. Where a source then gave all of what is false the others are
    /// asked for what it gave; of who gave a part of it the truth that others gave will tell.
    ///
    /// # Errors
    /// As [`Tiles::prove`].
    pub(super) async fn try_to_prove(
        &self,
        head: &SignedHead,
        goals: &Goals,
        sources: &mut Sources,
        doubts: &mut Doubts,
    ) -> Result<Proof, ProveError> {
        let needed = tiles_needed(head.size(), goals)?;
        let mut doubted = HashSet::new();
        loop {
            let gathered = self.gather(&needed, &doubted, sources).await?;
            let untrue = match authenticate(head.head(), goals, &gathered.tiles) {
                Ok(proved) => {
                    return Ok(Proof {
                        proved,
                        fresh: gathered.sources(),
                        doubted,
                    });
                }
                Err(untrue) => untrue,
            };
            let accused = accused(&untrue);
            let given = gathered.given(&accused);
            let ours = accused.iter().map(|at| (at.level, at.index));
            let ours: Vec<Place> = ours
                .filter(|at| !gathered.givers.contains_key(at))
                .collect();
            if !ours.is_empty() {
                doubted.extend(ours);
                doubts.parts.extend(given);
                continue;
            }
            let givers = givers_of(&given);
            let Some(worst) = sources.best_of(&givers) else {
                return Err(untrue.into());
            };
            match givers.len() {
                1 => doubts.add(&worst, &untrue, given),
                // Nobody can be named; with fewer to ask, somebody can.
                _ => doubts.parts.extend(given),
            }
            sources.give_up(&worst);
            doubted.clear();
            if sources.is_empty() {
                return Err(untrue.into());
            }
        }
    }

    async fn gather(
        &self,
        needed: &[TileCoordinate],
        doubted: &HashSet<Place>,
        sources: &mut Sources,
    ) -> Result<Gathered, ProveError> {
        let mut gathered = Gathered {
            tiles: HashMap::new(),
            givers: HashMap::new(),
        };
        let mut missing = Vec::new();
        for coordinate in needed {
            let place = (coordinate.level, coordinate.index);
            let kept = self
                .kept(coordinate.level, coordinate.index)
                .filter(|tile| tile.coordinate().width >= coordinate.width)
                .filter(|_| !doubted.contains(&place));
            match kept {
                Some(tile) => {
                    gathered.tiles.insert(place, (*tile).clone());
                }
                None => missing.push(*coordinate),
            }
        }
        let (given, missing) = sources.tiles(missing).await;
        for (tile, giver) in given {
            let place = (tile.coordinate().level, tile.coordinate().index);
            gathered.tiles.insert(place, tile);
            gathered.givers.insert(place, giver);
        }
        match missing.first() {
            Some(coordinate) => Err(ProveError::MissingTile(*coordinate)),
            None => Ok(gathered),
        }
    }

    /// Keeps what the sources gave, in the widths in which it was proved. The head of the proof must be ours, or become
    /// ours in the same breath.
    pub(super) fn keep(&self, proof: &Proof) {
        for tile in proof.proved.tiles() {
            let place = (tile.coordinate().level, tile.coordinate().index);
            if !proof.fresh.contains_key(&place) {
                continue;
            }
            if proof.doubted.contains(&place) {
                self.forget(place);
            }
            let tile = Arc::new(tile.clone());
            if let Err(error) = self.files.write_tile(&tile) {
                unkept(&error);
                self.hold(place, Arc::clone(&tile));
            }
            self.remember(tile);
        }
    }

    /// Writes what could not be written before. False when something is still not on the disk: no head may be written then
    /// that rests on it.
    pub(super) fn write_unwritten(&self) -> bool {
        let mut unwritten = self.unwritten();
        unwritten.retain(|_, tile| self.files.write_tile(tile).is_err());
        unwritten.is_empty()
    }

    fn hold(&self, place: Place, tile: Arc<Tile>) {
        let mut unwritten = self.unwritten();
        // What is let go of is a hole that the next repair finds.
        if unwritten.len() < UNWRITTEN_MAX || unwritten.contains_key(&place) {
            unwritten.insert(place, tile);
        }
    }

    fn remember(&self, tile: Arc<Tile>) {
        let place = (tile.coordinate().level, tile.coordinate().index);
        let mut memory = self.memory();
        if memory
            .get(&place)
            .is_some_and(|kept| kept.coordinate().width >= tile.coordinate().width)
        {
            return;
        }
        if memory.len() >= TILES_IN_MEMORY_MAX {
            memory.clear();
        }
        memory.insert(place, tile);
    }

    /// Lets go of a tile that nothing rests on.
    pub(super) fn forget(&self, place: Place) {
        self.memory().remove(&place);
        self.unwritten().remove(&place);
        self.files.forget_tile(place.0, place.1);
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Arc<Tile>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Arc<Tile>>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proof {
    /// The places of the tiles that were not here.
    pub(super) fn fresh(&self) -> impl Iterator<Item = Place> {
        self.fresh.keys().copied()
    }

    /// Where the tile at `place` came from for this proof.
    pub(super) fn source(&self, place: Place) -> Source {
        self.fresh.get(&place).copied().unwrap_or(Source::Store)
    }
}

impl Gathered {
    fn sources(&self) -> HashMap<Place, Source> {
        let givers = self.givers.iter();
        givers
            .map(|(place, giver)| (*place, giver.source()))
            .collect()
    }

    /// Those of the `accused` tiles that somebody just gave, in the widths in which they were needed.
    fn given(&self, accused: &[TileCoordinate]) -> Vec<Given> {
        accused
            .iter()
            .filter_map(|at| {
                let giver = self.givers.get(&(at.level, at.index))?;
                let tile = self.tiles.get(&(at.level, at.index))?.cut(at.width)?;
                Some((tile, Arc::clone(giver)))
            })
            .collect()
    }
}

/// Who gave any of these, each once.
fn givers_of(given: &[Given]) -> Vec<Arc<dyn LogSource>> {
    let mut givers: Vec<Arc<dyn LogSource>> = Vec::new();
    for (_, giver) in given {
        if givers.iter().all(|known| !is_same(known, giver)) {
            givers.push(Arc::clone(giver));
        }
    }
    givers
}

/// The tiles among which the false one is.
fn accused(untrue: &Untrue) -> Vec<TileCoordinate> {
    match untrue {
        Untrue::Tile(coordinate) => vec![*coordinate],
        Untrue::Edge { tiles, .. } => tiles.clone(),
        Untrue::Goal(_) | Untrue::Missing(_) => Vec::new(),
    }
}

/// What was proved counts, kept or not; a full disk must not look like a database that cannot be asked.
pub(super) fn unkept(error: &io::Error) {
    if let Some(left_out) = UNKEPT.turn() {
        tracing::warn!(%error, left_out, "a part of the checksum database cannot be kept and will be asked for again; is the disk full?");
    }
}
